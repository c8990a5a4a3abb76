"""Figures of what was learnt: the metric per version, per site, and beside the models without a federation."""

import math
from typing import Any

from audit.history import StudyHistory
from wardround.report.comparison import Comparison, Row, Score
from wardround.report.style import BLUE, FAINT, PURPLE, SOFT, VERMILION, figure, legend, plain, whole_numbers

PANELS_MAX = 40
MODELS = (
    ("alone", "alone", VERMILION, "s"),
    ("federated", "federated", BLUE, "o"),
    ("pooled", "pooled", PURPLE, "D"),
)
_LOG_RATIO = 20.0  # beyond this ratio of largest to smallest error a linear axis shows only the first versions


def convergence(history: StudyHistory, comparison: Comparison) -> Any:
    """The overall metric per version, with the range of the sites behind it."""
    drawn = figure(2.9)
    axes = drawn.subplots()
    versions = sorted(history.versions)
    points = [(version, history.overall(version)) for version in versions]
    known = [(version, value) for version, value in points if value is not None]
    band = [(version, *bounds) for version, _ in known if (bounds := _range(history, version)) is not None]
    axes.fill_between(
        [b[0] for b in band], [b[1] for b in band], [b[2] for b in band],
        color="#dfeaf3", linewidth=0, label="from the lowest to the highest site",
    )  # fmt: skip
    axes.plot(
        [x for x, _ in known], [y for _, y in known], color=BLUE, linewidth=2, marker="o",
        markersize=4, markevery=max(1, len(known) // 25), label="federated, all sites",
    )  # fmt: skip
    for score, label, colour, style in (
        (comparison.overall.alone, "alone", VERMILION, (0, (5, 2))),
        (comparison.overall.pooled, "pooled", PURPLE, (0, (1, 1.2))),
    ):
        if score is not None:
            axes.axhline(score.value, color=colour, linestyle=style, linewidth=1.6, label=label)
    _scale(axes, [value for _, value in known], comparison)
    axes.set_xlabel("version of the shared model")
    axes.set_ylabel(_metric_label(comparison))
    axes.margins(x=0.02)
    whole_numbers(axes)
    plain(axes)
    drawn.legend(loc="outside lower center", ncols=4)
    return drawn


def per_site(history: StudyHistory, comparison: Comparison) -> Any:
    """One small panel a site, on one scale: its own curve, the overall one behind it, its local model as a line."""
    rows = comparison.rows[:PANELS_MAX]
    columns = min(len(rows), 3 if len(rows) <= 6 else 5) or 1
    lines = max(1, math.ceil(len(rows) / columns))
    drawn = figure(0.45 + 1.25 * lines)
    grid = drawn.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    overall = [(version, history.overall(version)) for version in sorted(history.versions)]
    behind = [(x, y) for x, y in overall if y is not None]
    seen: list[float] = []
    for place, axes in enumerate(grid.flat):
        if place >= len(rows):
            axes.set_visible(False)
            continue
        seen += _panel(axes, history, rows[place], comparison.metric, behind)
    if rows:
        _scale(grid[0][0], seen, comparison)
        found = {name: line for axes in grid.flat for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        legend(drawn, list(found.values()), list(found))  # a line that one site lacks, another has
        drawn.supylabel(_metric_label(comparison), fontsize=8.5, color=SOFT)
    return drawn


def _panel(axes: Any, history: StudyHistory, row: Row, metric: str, behind: list[tuple[int, float]]) -> list[float]:
    axes.plot([x for x, _ in behind], [y for _, y in behind], color=FAINT, linewidth=2.2, label="all sites")
    site = history.sites[row.name]
    points = [(v, values[metric]) for v, values in sorted(site.evaluations.items()) if metric in values]
    axes.plot(
        [x for x, _ in points], [y for _, y in points], color=BLUE, marker="o", linewidth=1.3,
        markersize=3, markevery=max(1, len(points) // 12), label="federated, this site",
    )  # fmt: skip
    lines = ((row.alone, "alone", VERMILION, (0, (5, 2))), (row.pooled, "pooled", PURPLE, (0, (1, 1.2))))
    for score, label, colour, style in lines:
        if score is not None:
            axes.axhline(score.value, color=colour, linestyle=style, linewidth=1.2, label=label)
    tested = f"n={row.tested}" if row.tested else ""
    axes.set_title(row.name, pad=3)
    axes.text(1, 1.02, tested, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5, color=SOFT)
    whole_numbers(axes, ticks=4)
    plain(axes)
    return [y for _, y in points]


def models(comparison: Comparison) -> Any:
    """Alone, federated and pooled per site with intervals, the overall figures on top."""
    rows = [comparison.overall, *comparison.rows]
    drawn = figure(0.9 + 0.42 * len(rows))
    axes = drawn.subplots()
    offsets = {"alone": -0.22, "federated": 0.0, "pooled": 0.22}
    for field, label, colour, marker in MODELS:
        found = [(y, getattr(row, field)) for y, row in enumerate(rows) if getattr(row, field) is not None]
        _dots(axes, [(y + offsets[field], score) for y, score in found], label, colour, marker)
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for y in range(0, len(rows), 2):
        axes.axhspan(y - 0.5, y + 0.5, color="#f5f7f9", zorder=0, linewidth=0)
    axes.axhline(0.5, color=SOFT, linewidth=0.7)
    values = [score.value for row in rows for score in (row.alone, row.federated, row.pooled) if score is not None]
    if _wants_log(values, comparison):
        axes.set_xscale("log")
        _decades(axes.xaxis)
    axes.set_xlabel(_metric_label(comparison))
    plain(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if axes.get_legend_handles_labels()[0]:
        drawn.legend(loc="outside lower center", ncols=3)
    return drawn


def _dots(axes: Any, points: list[tuple[float, Score]], label: str, colour: str, marker: str) -> None:
    for y, score in points:
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    if points:
        axes.plot(
            [score.value for _, score in points], [y for y, _ in points], linestyle="none", marker=marker,
            color=colour, markeredgecolor="white", markeredgewidth=0.6, markersize=6.5, label=label, zorder=3,
        )  # fmt: skip


def _row_label(row: Row) -> str:
    return row.name if row.tested is None else f"{row.name}  (n={row.tested})"


def _range(history: StudyHistory, version: int) -> tuple[float, float] | None:
    told = (site.newest(history.plan.evaluation.metric, until=version) for site in history.sites.values())
    found = [value for value in told if value is not None]
    return (min(found), max(found)) if found else None


def _metric_label(comparison: Comparison) -> str:
    return f"{comparison.metric} ({'higher' if comparison.higher_is_better else 'lower'} is better)"


def _wants_log(values: list[float], comparison: Comparison) -> bool:
    return not comparison.higher_is_better and bool(values) and 0 < min(values) * _LOG_RATIO < max(values)


def _scale(axes: Any, values: list[float], comparison: Comparison) -> None:
    if _wants_log(values, comparison):
        axes.set_yscale("log")
        _decades(axes.yaxis)


def _decades(axis: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each decade of a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
