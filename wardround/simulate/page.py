"""Plans side by side as one self-contained HTML page: table, figures, what was assumed.

Never:    loads anything from elsewhere when it is opened.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from protocol.files import write_whole
from rehearsal.play import Played
from rehearsal.variants import Variant
from schemas.errors import LocalError, MissingLibraryError
from wardround.report.page import shown
from wardround.simulate import table

TEMPLATE = "simulation.html"


def write_page(
    found: Sequence[Variant], played: Sequence[Played], assumed: list[tuple[str, str]], target: float | None, path: Path
) -> None:
    """Write the page. Raises LocalError when the report's packages are missing or the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{path.parent} cannot be made: {error.strerror}") from None
    write_whole(path, render(found, played, assumed, target).encode())


def render(
    found: Sequence[Variant], played: Sequence[Played], assumed: list[tuple[str, str]], target: float | None
) -> str:
    """The page as text; at least one plan was played."""
    try:
        import jinja2

        from wardround.report import style

        style.warm()
    except ImportError as error:
        raise MissingLibraryError("a page", error.name or "a library", part="report") from None
    folders = [Path(__file__).parent, Path(__file__).parents[1] / "report"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=shown,
    )
    head, cells = table.rows(played, target)
    return environment.get_template(TEMPLATE).render(
        title=played[0].plan.title, study=played[0].plan.study, head=head, cells=cells, assumed=assumed,
        refused=[one for one in found if one.refused], target=target, figures=_figures(played, target),
        metric=played[0].plan.evaluation.metric, learns=any(one.curve for one in played),
    )  # fmt: skip


def _figures(played: Sequence[Played], target: float | None) -> dict[str, str]:
    from wardround.report.style import to_svg
    from wardround.simulate import figures

    drawn: dict[str, tuple[Any, str]] = {
        "versions": (figures.versions(played), "Versions over time, plan by plan"),
        "staleness": (figures.staleness(played), "Staleness of counted updates, plan by plan"),
        "shares": (figures.shares(played), "Effective shares of the sites, plan by plan"),
        "costs": (figures.costs(played), "Bytes a site and training wasted, plan by plan"),
    }
    if any(one.curve for one in played):
        drawn["metric"] = (figures.metric(played, target), "The metric over time, plan by plan")
    return {name: to_svg(one, title) for name, (one, title) in drawn.items()}
