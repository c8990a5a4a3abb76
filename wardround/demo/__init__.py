"""The demo: a whole federation on one machine, each part a process of its own, on public data."""

from pathlib import Path


def run_demo(study: str = "lung", *, data: Path | None = None, out: Path = Path("out/demo")) -> int:
    """Run a study of `wardround.demo.catalogue` to its end, shown live; returns the exit code (0, 1, 2, 3, 130).

    Writes `<out>/<study>/report.html`, `summary.json` and `processes.json`. Raises LocalError for a wrong setup.
    """
    from wardround.demo.main import run

    return run(study, data=data, out=out)
