"""Which studies the demo knows, and what each needs.

Used by:  wardround.demo.
"""

from dataclasses import dataclass
from pathlib import Path

from schemas.errors import LocalError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Entry:
    """One demo: its plans (each a study), and the data folder it needs from the user, if any."""

    name: str
    plans: tuple[Path, ...]
    files: tuple[str, ...] = ()  # what has to lie in the user's folder


def entry(name: str, data: Path | None) -> Entry:
    """The demo called `name`. Raises LocalError for a name or a data folder that does not do."""
    if name not in DEMOS:
        raise LocalError(f"there is no demo of `{name}`", hint=f"demos: {', '.join(DEMOS)}")
    found = DEMOS[name]
    if not found.files:
        if data is not None:
            raise LocalError(f"--data {data} does nothing: study {name} brings its own data", hint="leave --data out")
        return found
    how = f"make demo STUDY={name} DATA=<folder>; studies/{name}/README.md says how to obtain the data"
    if data is None:
        raise LocalError(f"the study {name} needs data that it may not bring along", hint=how)
    missing = [file for file in found.files if not (data / file).is_file()]
    if missing:
        raise LocalError(f"{data} lacks {', '.join(missing)}", hint=how)
    return found


def _plans(folder: str, *names: str) -> tuple[Path, ...]:
    return tuple(ROOT / "studies" / folder / name for name in names or ("plan.toml",))


_HEART = tuple(f"processed.{site}.data" for site in ("cleveland", "hungarian", "switzerland", "va"))
DEMOS = {
    one.name: one
    for one in (
        Entry("lung", _plans("lung")),
        Entry("breast", _plans("breast")),
        Entry("linear-regression", _plans("linear_regression", "plan_plain.toml", "plan_weighted.toml")),
        Entry("heart", _plans("heart"), _HEART),
    )
}
