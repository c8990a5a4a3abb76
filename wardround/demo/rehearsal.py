"""What is played on one machine: the plans of a study, its task and data, and how far.

Knows:    how a study's folder becomes a rehearsal, with its plans or one written from its tables; what has to be there.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learning.places import entry_of, look_in, place_of
from protocol.files import write_whole
from registry.plans.authoring import read_plan_draft
from registry.plans.draft import Draft
from runtime.child import ROOT
from schemas.codec import ID
from schemas.errors import LocalError
from wardround.demo.bounds import Bounds

OUT = Path("out/try")
MODEL = "model.safetensors"
TABLE = ".csv"
MB_A_SITE = 66  # measured: a participant holds 36 MB of its own, its forked trainer 16 MB; 6 MB of the broker's heap
MB_AROUND = 900  # broker, coordinator, fork server with torch, and this process
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One federation to play.

    name         of the folder that it leaves its report in
    plans        files plan.toml, each a study of its own
    data         the folder with the sites' data, where the task reads one
    task_folder  where the task lies, when it is not installed
    note         what the report says of how it came about
    next         commands that a person may want to type afterwards
    """

    name: str
    plans: tuple[Path, ...]
    data: Path | None = None
    task_folder: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)
    tested: bool = False  # whether the task has to pass its own test before it is played
    model: bool = False  # leave the best version as a file
    eventful: bool = True  # one site joins late, two lose their link for a while
    note: str = ""
    next: tuple[str, ...] = ()

    def drafts(self) -> list[Draft]:
        """The plans within their bounds. Raises LocalError for one that is wrong."""
        return [self.bounds.applied(read_plan_draft(path)) for path in self.plans]


def rehearsal_of(
    folder: Path, data: Path | None, bounds: Bounds, *, eventful: bool = True, out: Path = OUT
) -> tuple[Rehearsal, list[str]]:
    """The rehearsal of the study in `folder`, and what a person should be told of it.

    Writes `folder`/plan.toml, with the defaults of `wardround plan init`, when there is no plan: its sites are then
    the tables in `data`. Raises LocalError naming what is missing, and what would be there.
    """
    entry = entry_of(folder)
    look_in(place_of(folder, entry))
    _check_found(folder, entry)
    if data is not None and not data.is_dir():
        said = "is no folder" if data.exists() else "is not there"
        raise LocalError(f"the data folder {data} {said}", hint="--data names a folder with a table for each site")
    told, plans = [], _plans(folder)
    if not plans:
        plans = (_write_plan(folder, entry, data),)
        told.append(f"{plans[0]} written with the defaults of `wardround plan init`: it is yours to change and keep")
    drafts = [bounds.applied(read_plan_draft(path)) for path in plans]
    told += _unplanned(read_plan_draft(plans[0]), data)
    for path, draft in zip(plans, drafts, strict=True):
        if draft.sites != drafts[0].sites:
            raise LocalError(f"{path} has other sites than {plans[0]}", hint="a rehearsal has one set of sites")
        place_of(folder, draft.entry)
        _check_tables(draft, data)
    _check_memory(len(drafts[0].sites))
    installed = folder.resolve().is_relative_to(ROOT)
    rehearsal = Rehearsal(
        name=drafts[0].study if len(drafts) == 1 else folder.resolve().name.replace("_", "-"),
        plans=plans,
        data=data,
        task_folder=None if installed else folder.resolve(),
        bounds=bounds,
        tested=True,
        model=True,
        eventful=eventful,
        note=_note(eventful=eventful),
        next=_next(plans[0], drafts[0].study, data, out),
    )
    return rehearsal, told


def tables_of(data: Path) -> tuple[str, ...]:
    """The sites of a folder of tables: site-1 for site-1.csv; site-2 before site-10. Raises LocalError."""
    sites = table_names(data)
    if len(sites) < 2:
        found = "one table" if sites else "no table"
        raise LocalError(
            f"{data} holds {found} (*.csv): a rehearsal needs two sites or more",
            hint="put a table for each site there, named after it: site-1.csv, site-2.csv, …; or write a plan.toml",
        )
    for name in sites:
        try:
            ID.pack(name)
        except ValueError:
            raise LocalError(
                f"{data / (name + TABLE)}: `{name}` is no name for a site",
                hint="a table is named after its site: small letters, digits and -, at most 40; for example site-1.csv",
            ) from None
    return tuple(sites)


def table_names(data: Path) -> list[str]:
    """What the tables in a folder are named after, in the order that a person counts in."""
    names = [path.stem for path in data.iterdir() if path.suffix == TABLE and not path.name.startswith(".")]
    return sorted(names, key=lambda name: [(len(part), part) for part in re.findall(r"\d+|\D+", name)])


def _plans(folder: Path) -> tuple[Path, ...]:
    """plan.toml, else every plan_*.toml."""
    whole = folder / "plan.toml"
    return (whole,) if whole.exists() else tuple(sorted(folder.glob("plan_*.toml")))


def _write_plan(folder: Path, entry: str, data: Path | None) -> Path:
    if data is None:
        raise LocalError(
            f"{folder} has no plan.toml, and there is no folder of tables to find its sites in",
            hint="name it with --data, a table for each site (site-1.csv, …); or write one with `wardround plan init`",
        )
    sites = tables_of(data)
    from registry.plans.template import plan_of_task  # brings torch along

    text = plan_of_task(entry, study=folder.resolve().name.replace("_", "-").lower(), sites=sites)
    path = folder / "plan.toml"
    write_whole(path, text.encode())
    return path


def _check_found(folder: Path, entry: str) -> None:
    from learning.entry import task_folder

    try:
        found: Path | None = task_folder(entry).resolve()
    except LocalError:
        found = None
    if found != folder.resolve():
        raise LocalError(
            f"to Python `{entry.partition('.')[0]}` means something else than {folder}",
            hint="rename the study's folder",
        )


def _check_tables(draft: Draft, data: Path | None) -> None:
    """Where sites have tables of their name, each has one."""
    if data is None:
        return
    missing = [site for site in draft.sites if not (data / f"{site}{TABLE}").is_file()]
    if missing and len(missing) < len(draft.sites):
        raise LocalError(
            f"{data} has no table for {_listed(missing)}",
            hint=f"put {missing[0]}{TABLE} there, or take the site out of [members] sites in {draft.where}",
        )


def _unplanned(draft: Draft, data: Path | None) -> list[str]:
    """Tables beside the sites' own whose site the plan does not name: put there after it was written."""
    if data is None or not all((data / f"{site}{TABLE}").is_file() for site in draft.sites):
        return []
    more = [name for name in table_names(data) if name not in draft.sites]
    said = f"{data} holds tables that are not played: {_listed(more)}"
    return [f"{said}; the sites are those of [members] sites in {draft.where}"] if more else []


def _check_memory(sites: int) -> None:
    """A machine that runs out of memory ends processes at random: said before it begins."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMORY.read_text(), re.MULTILINE)
    free, needed = int(found[1]) // 1024 if found else 2**40, MB_AROUND + MB_A_SITE * sites
    if needed > free:
        few = max(2, (free - MB_AROUND) // MB_A_SITE)
        raise LocalError(
            f"{sites} sites need about {needed / 1000:.1f} GB of memory here, {free / 1000:.1f} GB are free",
            hint=f"play it with fewer: --sites {few}; or in one process: `wardround simulate` with --learn",
        )


def _note(*, eventful: bool) -> str:
    events = ", one joined late and two lost their link for a while, on purpose" if eventful else ""
    return (
        f"This is a rehearsal: all sites ran on one machine{events}. Pooled figures exist here because all data lie in "
        "one place."
    )


def _next(plan: Path, study: str, data: Path | None, out: Path) -> tuple[str, ...]:
    """What a person may want to type now."""
    given = f" --data {_quoted(data)}" if data else ""
    model, folder = out / study / MODEL, plan.parent
    return (
        f"wardround predict {_quoted(model)} TABLE.csv --study {_quoted(folder)} --out predictions.csv",
        f"wardround plan check {_quoted(plan)}",
        f"wardround simulate {_quoted(plan)} --learn{given}",
        f"wardround plan sign {_quoted(plan)}",
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
