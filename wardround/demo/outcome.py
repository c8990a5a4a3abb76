"""What the demo leaves: the final table on the screen, and summary.json for a script."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from audit.history import StudyHistory
from schemas.errors import LocalError
from wardround.report.comparison import Comparison, Row, Score
from wardround.report.prose import human_score, without


def read_pooled(path: Path) -> dict[str, Score]:
    """The scores that wardround.demo.central wrote, by site."""
    try:
        rows: dict[str, list[Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise LocalError(f"{path} cannot be read") from None
    return {site: Score(*values) for site, values in rows.items()}


def final_table(comparison: Comparison) -> Table:
    """Alone, federated and pooled per site and overall; the best of a row stands out."""
    better = "higher" if comparison.higher_is_better else "lower"
    title = f"{comparison.metric} on each site's own test patients ({better} is better)"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("site", no_wrap=True)
    table.add_column("patients", justify="right")
    for name in ("alone", "federated", "pooled"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison.rows:
        _add(table, row, comparison)
    table.add_section()
    _add(table, comparison.overall, comparison, style="bold")
    remarks = [without(comparison).strip()] if comparison.left_out else []
    if comparison.lacks_intervals:
        remarks.append("Without an interval: so few test patients that resampling them cannot give one.")
    if remarks:
        table.caption, table.caption_justify = " ".join(remarks), "left"
    return table


def _add(table: Table, row: Row, comparison: Comparison, style: str = "") -> None:
    tested = "–" if row.tested is None else str(row.tested)
    cells = [human_score(score) for score in (row.alone, row.federated, row.pooled)]
    table.add_row(row.name, tested, *cells, style=style)


def summary(history: StudyHistory, comparison: Comparison, seconds: float) -> dict[str, Any]:
    """What summary.json holds; `seconds` from the demo's start to this study's report."""
    overall = comparison.overall
    return {
        "study": history.study,
        "plan_digest": history.plan_digest.hex(),
        "versions": max(history.version, 0),
        "sites": len(history.sites),
        "offers": history.offered,
        "counted": history.counted,
        "refused": history.refused,
        "seconds": round(seconds, 1),
        "metric": {
            "name": comparison.metric,
            "higher_is_better": comparison.higher_is_better,
            "alone": _by_site({row.name: row.alone for row in comparison.rows}),
            "federated": _by_site({row.name: row.federated for row in comparison.rows}),
            "pooled": _by_site({row.name: row.pooled for row in comparison.rows}),
            "overall": {
                "alone": _value(overall.alone),
                "federated": _value(overall.federated),
                "pooled": _value(overall.pooled),
                "left_out": dict(comparison.left_out),
            },
        },
    }


def _by_site(scores: Mapping[str, Score | None]) -> dict[str, float | None]:
    return {site: _value(score) for site, score in scores.items()}


def _value(score: Score | None) -> float | None:
    return None if score is None else round(score.value, 6)
