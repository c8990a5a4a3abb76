"""The demo and rehearsals: a whole federation on one machine, each part a process of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wardround.demo.bounds import Bounds


def run_demo(study: str = "lung", *, data: Path | None = None, out: Path = Path("out/demo")) -> int:
    """Run a study of `wardround.demo.catalogue` to its end, shown live; returns the exit code (0, 1, 2, 3, 130).

    Writes `<out>/<study>/report.html`, `summary.json` and `processes.json`. Raises LocalError for a wrong setup.
    """
    from wardround.demo import catalogue, main

    return main.run(catalogue.demo(study, data), out=out)


def run_rehearsal(
    folder: Path, *, data: Path | None, bounds: "Bounds", out: Path = Path("out/try"), eventful: bool = True
) -> int:
    """The same for the study in `folder`, which gets a plan where it has none. `eventful`: links fail, as in a demo."""
    from wardround.demo.main import run
    from wardround.demo.rehearsal import rehearsal_of

    rehearsal, told = rehearsal_of(folder, data, bounds, eventful=eventful, out=out)
    for line in told:
        print(line, flush=True)
    return run(rehearsal, out=out)
