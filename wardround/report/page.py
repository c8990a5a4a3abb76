"""The report: one self-contained HTML file, written whole or not at all.

Knows:    which figure and table stands where.
Never:    loads anything from elsewhere when it is opened: no script, no font, no address.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.history import PRESENCE_PERIOD_S, StudyHistory
from audit.standing import standings
from runtime.units import human_bytes, human_seconds
from schemas.errors import LocalError, MissingLibraryError
from schemas.records import SiteState
from schemas.text import visible
from wardround.report import prose
from wardround.report.comparison import Comparison, Score, compare
from wardround.report.look_again import look_again

TEMPLATE = "page.html"


def write_report(
    history: StudyHistory,
    path: Path,
    *,
    pooled: Mapping[str, Score] | None = None,
    period_s: float = PRESENCE_PERIOD_S,
    note: str = "",
) -> None:
    """Write the report of `history` to `path`. `pooled` by site, `period_s` of the sites' presence.

    Raises LocalError when the report's packages are missing or the file cannot be written.
    """
    part = path.with_suffix(".part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)  # first: drawing takes seconds
    text = render(history, compare(history, pooled), period_s=period_s, note=note)
    with _writing(path):
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalError(f"{path}: cannot be written ({error.strerror})", hint="check owner and free space") from None


def render(
    history: StudyHistory, comparison: Comparison, *, period_s: float = PRESENCE_PERIOD_S, note: str = ""
) -> str:
    """The page as text."""
    try:
        import jinja2

        from wardround.report import style

        style.warm()
    except ImportError as error:
        raise MissingLibraryError("a report", error.name or "a library", part="report") from None
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=shown
    )
    filters: dict[str, Any] = {
        "bytes": lambda value: "–" if value is None else human_bytes(value),
        "seconds": human_seconds,
        "score": prose.human_score,
        "moment": prose.human_moment,
        "command": prose.command,
    }
    environment.filters.update(filters)
    words = _words(history, comparison) | {"far": _far(history, period_s)}
    return environment.get_template(TEMPLATE).render(
        history=history, comparison=comparison, note=note, figures=_figures(history, comparison, period_s), **words
    )


def shown(value: Any) -> Any:
    """What a template puts in: a text of whomever without what is hidden in it; figures are our own."""
    return visible(value) if type(value) is str else value


def _words(history: StudyHistory, comparison: Comparison) -> dict[str, Any]:
    return {
        "course": prose.course(history),
        "sites_said": prose.site_count(history),
        "approval": prose.approval(history),
        "verdict": prose.verdict(comparison),
        "look_again": look_again(comparison),
        "plan_words": prose.plan_in_words(history.plan),
        "sites": [history.sites[name] for name in sorted(history.sites)],
        "institutions": any(site.institution not in ("", site.name) for site in history.sites.values()),
        "shares": history.effective_shares(),
        "counted": _counted(history),
        "moved_up": sum(site.bytes_up for site in history.sites.values()),
        "moved_down": sum(site.bytes_down for site in history.sites.values()),
        "raw": sum(site.bytes_data or 0 for site in history.sites.values()),
        "codes": prose.CODES,
        "commands": prose.newest_commands(history),
        "states": SiteState,
    }


def _far(history: StudyHistory, period_s: float) -> list[tuple[str, str]]:
    """(site, why) of each whose share is far from what its presence allows."""
    newest = max((site.seen_ms[-1] for site in history.sites.values() if site.seen_ms), default=0)
    return [(one.site, one.warning) for one in standings(history, newest, period_s) if one.warning]


def _counted(history: StudyHistory) -> dict[str, int]:
    counted = dict.fromkeys(history.sites, 0)
    for version in history.versions.values():
        for update in version.cohort:
            counted[update.site] += 1
    return counted


def _figures(history: StudyHistory, comparison: Comparison, period_s: float) -> dict[str, str]:
    from wardround.report import conduct_figures, learning_figures
    from wardround.report.style import to_svg

    drawn = {
        "models": (learning_figures.models(comparison), "Metric per site, of each model"),
        "convergence": (learning_figures.convergence(history, comparison), "Metric per version, all sites"),
        "per_site": (learning_figures.per_site(history, comparison), "Metric per version, site by site"),
        "timeline": (conduct_figures.timeline(history, period_s), "Timeline of the sites"),
        "staleness": (conduct_figures.staleness(history), "Staleness and weights of counted updates"),
        "shares": (conduct_figures.shares(history), "Effective share of each site"),
        "traffic": (conduct_figures.traffic(history), "Bytes moved and seconds of training per site"),
    }
    return {name: to_svg(one, title) for name, (one, title) in drawn.items()}
