"""Which studies the demo knows by name, and what each needs: a demo is a rehearsal that is set up already."""

from dataclasses import dataclass
from pathlib import Path

from runtime.child import ROOT
from schemas.errors import LocalError
from wardround.demo.rehearsal import Rehearsal

NOTE = (
    "This is a demonstration: all sites ran on one machine, one joined late and two lost their link for a while, on "
    "purpose. Pooled figures exist here because the data are public."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One demo: its plans (each a study), and the data folder it needs from the user, if any."""

    name: str
    plans: tuple[Path, ...]
    files: tuple[str, ...] = ()  # what has to lie in the user's folder


def demo(name: str, data: Path | None) -> Rehearsal:
    """The demo called `name`. Raises LocalError for a name or a data folder that does not do."""
    if name not in DEMOS:
        raise LocalError(
            f"there is no demo of `{name}`",
            hint=f"demos: {', '.join(DEMOS)}; a study of your own: `wardround try FOLDER --data FOLDER`",
        )
    found = DEMOS[name]
    return Rehearsal(name, found.plans, data=_data(found, data), note=NOTE)


def _data(found: Entry, data: Path | None) -> Path | None:
    name = found.name
    if not found.files:
        if data is not None:
            raise LocalError(f"--data {data} does nothing: study {name} brings its own data", hint="leave --data out")
        return None
    how = f"make demo STUDY={name} DATA=<folder>; studies/{name}/README.md says how to obtain the data"
    if data is None:
        raise LocalError(f"the study {name} needs data that it may not bring along", hint=how)
    missing = [file for file in found.files if not (data / file).is_file()]
    if missing:
        raise LocalError(f"{data} lacks {', '.join(missing)}", hint=how)
    return data


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
