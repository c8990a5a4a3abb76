"""Figures of how the study went: who was there when, how late updates came, who shaped the model, what it moved."""

from typing import Any

from audit.history import StudyHistory
from runtime.units import human_bytes
from schemas.records import SiteState
from wardround.report.style import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, SOFT, VERMILION, figure, plain

# state -> (label, face, hatch); hatches tell them apart without colour
STATES = {
    None: ("no sign of life", "#ffffff", ""),
    SiteState.IDLE: ("connected", "#e6ebf0", ""),
    SiteState.WAITING: ("connected", "#e6ebf0", ""),
    SiteState.PAUSED: ("connected", "#e6ebf0", ""),
    SiteState.FETCHING: ("fetching", "#f0e442", ""),
    SiteState.TRAINING: ("training", ORANGE, "////"),
    SiteState.SENDING: ("sending", SKY, "\\\\\\\\"),
    SiteState.LOADING: ("loading", "#ffffff", "...."),
    SiteState.FAILING: ("failing, paused", VERMILION, "xxxx"),
}
_AFTER_MS = 2000  # at least so much, or a twentieth, of a study that is over is drawn after its end
_SPANS_MAX = 4000  # shapes in one figure; a longer study is drawn coarser
_VERSION_LINES_MAX = 60
_COMMAND_LINES_MAX = 60
_LABELS_MAX = 12  # along one axis of half a figure; more would run into each other
_ROOMY = 40  # more versions get smaller marks, so that those of one site do not hide each other


def timeline(history: StudyHistory, period_s: float) -> Any:
    """A line a site: connected, training, sending, away; dots where an update counted; operators' commands."""
    names = sorted(history.sites)
    start, end = _bounds(history)
    unit, per_unit_ms = _unit(end - start)
    drawn = figure(1.1 + 0.34 * len(names))
    axes = drawn.subplots()
    for y, name in enumerate(names):
        _spans(axes, y, history, name, start, end, per_unit_ms, period_s)
    if len(history.versions) <= _VERSION_LINES_MAX:
        for version in history.versions.values():
            axes.axvline((version.at_ms - start) / per_unit_ms, color=FAINT, linewidth=0.6, zorder=0)
    _marks(axes, history, names, start, per_unit_ms)
    commanded = [one.at_ms for one in history.commands if start <= one.at_ms <= end][-_COMMAND_LINES_MAX:]
    for at_ms in commanded:
        axes.axvline((at_ms - start) / per_unit_ms, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)), zorder=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.45, -0.55)
    axes.set_xlim(0, max((end - start) / per_unit_ms, 1e-3))
    axes.set_xlabel(f"{unit} since version 0" + (" (each thin line: a new version)" if _lined(history) else ""))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _timeline_legend(drawn, history, commands=bool(commanded))
    return drawn


def _lined(history: StudyHistory) -> bool:
    return len(history.versions) <= _VERSION_LINES_MAX


def _bounds(history: StudyHistory) -> tuple[int, int]:
    seen = [at for site in history.sites.values() for at in site.seen_ms]
    made = [version.at_ms for version in history.versions.values()]
    start = history.started_ms or min([*seen, *made], default=0)
    commanded = [one.at_ms for one in history.commands]
    if history.final and made:  # sites go on telling that they are there: that is no part of the study
        over = max(made) + max(_AFTER_MS, (max(made) - start) // 20)
        seen = [min(at, over) for at in seen]
    return start, max([*seen, *made, *commanded, start + 1])


def _unit(span_ms: int) -> tuple[str, float]:
    for unit, length_ms in (("days", 86_400_000.0), ("hours", 3_600_000.0), ("minutes", 60_000.0)):
        if span_ms > 3 * length_ms:
            return unit, length_ms
    return "seconds", 1000.0


def _spans(
    axes: Any, y: int, history: StudyHistory, name: str, start: int, end: int, per_unit_ms: float, period_s: float
) -> None:
    shapes: dict[SiteState | None, list[tuple[float, float]]] = {}
    shortest = (end - start) / max(1, _SPANS_MAX // max(1, len(history.sites)))
    for span in history.sites[name].spans(end, period_s):
        state = span.state if span.state in (None, *_BUSY) else SiteState.IDLE
        if span.end_ms <= start or (span.end_ms - span.start_ms < shortest and state is not None):
            continue
        left = (max(span.start_ms, start) - start) / per_unit_ms
        shapes.setdefault(state, []).append((left, (span.end_ms - start) / per_unit_ms - left))
    if seen := history.sites[name].seen_ms:  # what lies under the coloured spans: it was there
        first = (max(seen[0], start) - start) / per_unit_ms
        axes.broken_barh([(first, (end - start) / per_unit_ms - first)], (y - 0.3, 0.6), facecolor="#e6ebf0")
    for state, ranges in shapes.items():
        _label, face, hatch = STATES[state]
        edge = SOFT if state is None else INK
        axes.broken_barh(
            ranges, (y - 0.3, 0.6), facecolor=face, hatch=hatch or None, edgecolor=edge,
            linewidth=0.6 if state is None else 0.0, linestyle=(0, (2, 2)) if state is None else "-",
        )  # fmt: skip


_BUSY = (SiteState.FETCHING, SiteState.TRAINING, SiteState.SENDING, SiteState.LOADING, SiteState.FAILING)


def _marks(axes: Any, history: StudyHistory, names: list[str], start: int, per_unit_ms: float) -> None:
    counted: list[tuple[float, float]] = []
    late: list[tuple[float, float]] = []
    for version in history.versions.values():
        for update in version.cohort:
            point = ((version.at_ms - start) / per_unit_ms, float(names.index(update.site)))
            (late if (history.staleness(version, update) or 0) > 0 else counted).append(point)
    size = max(2.2, 4.6 - len(history.versions) / _ROOMY)
    for points, marker, face in ((counted, "o", GREEN), (late, "D", "#ffffff")):
        axes.plot(
            [x for x, _ in points], [y for _, y in points], linestyle="none", marker=marker, markersize=size,
            markerfacecolor=face, markeredgecolor=INK, markeredgewidth=0.7, zorder=4,
        )  # fmt: skip


def _timeline_legend(drawn: Any, history: StudyHistory, *, commands: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    told = {state for site in history.sites.values() for _, state in site.states}
    rare = [state for state in (SiteState.LOADING, SiteState.FAILING) if state in told]
    for state in (SiteState.IDLE, SiteState.FETCHING, SiteState.TRAINING, SiteState.SENDING, *rare, None):
        label, face, hatch = STATES[state]
        style: Any = {"linestyle": (0, (2, 2))} if state is None else {}
        handles.append(
            Patch(
                facecolor=face,
                hatch=hatch or None,
                edgecolor=INK if hatch else SOFT,
                linewidth=0.5,
                label=label,
                **style,
            )
        )
    for label, marker, face in (("counted", "o", GREEN), ("counted late", "D", "#ffffff")):
        handles.append(
            Line2D([], [], linestyle="none", marker=marker, markerfacecolor=face, markeredgecolor=INK, label=label)
        )
    if commands:
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)), label="a command"))
    drawn.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(8, len(handles)),
        columnspacing=1.0,
        handletextpad=0.4,
        fontsize=8,
    )


def staleness(history: StudyHistory) -> Any:
    """Counted updates by staleness, and the weight the plan gives each staleness."""
    counts: dict[int, int] = {}
    for version in history.versions.values():
        for update in version.cohort:
            late = history.staleness(version, update)
            if late is not None:
                counts[late] = counts.get(late, 0) + 1
    table = history.plan.aggregation.weight_table
    shown = range(max([*counts, min(len(table) - 1, 4)], default=0) + 1)
    drawn = figure(2.3)
    left, right = drawn.subplots(1, 2, sharex=True)
    bars = left.bar(
        list(shown), [counts.get(late, 0) for late in shown], color=SKY, edgecolor=INK, linewidth=0.7, width=0.7
    )
    sparse = spaced([late for late in shown if counts.get(late)], len(shown))
    said = [str(counts[late]) if late in sparse else "" for late in shown]
    left.bar_label(bars, said, padding=2, fontsize=8, color=INK)
    left.set_title("counted updates")
    weights = [table[late] / 16 if late < len(table) else 0.0 for late in shown]
    bars = right.bar(list(shown), weights, color="#ffffff", edgecolor=INK, hatch="////", linewidth=0.7, width=0.7)
    if len(shown) <= _LABELS_MAX:
        right.bar_label(bars, [f"{weight:.2f}" for weight in weights], padding=2, fontsize=8, color=INK)
    right.set_title("weight by the plan's table")
    right.set_ylim(0, 1.15)
    for axes in (left, right):
        axes.set_xlabel("versions behind when it counted")
        axes.set_xticks(spaced(list(shown), len(shown)))
        plain(axes)
    left.margins(y=0.15)
    return drawn


def spaced(places: list[int], length: int) -> list[int]:
    """Those of the rising `places` on an axis of `length` that can wear a label without touching the one before."""
    step, found = -(-length // _LABELS_MAX), list[int]()
    for place in places:
        if not found or place - found[-1] >= step:
            found.append(place)
    return found


def shares(history: StudyHistory) -> Any:
    """Each site's effective share of the model, with an even share as a line."""
    names = sorted(history.sites)
    values = history.effective_shares()
    drawn = figure(1.0 + 0.27 * len(names))
    axes = drawn.subplots()
    bars = axes.barh(range(len(names)), [100 * values[name] for name in names], color=BLUE, height=0.62)
    for label in axes.bar_label(bars, [f"{100 * values[name]:.1f} %" for name in names], padding=4, fontsize=8.5):
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    if names:
        axes.axvline(100 / len(names), color=VERMILION, linestyle=(0, (5, 2)), linewidth=1.2, label="an even share")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_xlabel("effective share of the model, in %")
    axes.margins(x=0.12)
    _rows(axes)
    return drawn


def traffic(history: StudyHistory) -> Any:
    """Bytes up and down beside the raw data, on a logarithmic axis, and compute seconds."""
    names = sorted(history.sites)
    sites = [history.sites[name] for name in names]
    drawn = figure(1.3 + 0.44 * len(names))
    left, right = drawn.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    series = (
        ("sent by the site", [site.bytes_up for site in sites], SKY, "", -0.25),
        ("fetched by the site", [site.bytes_down for site in sites], "#ffffff", "////", 0.0),
        ("its raw data (never sent)", [site.bytes_data or 0 for site in sites], PURPLE, "", 0.25),
    )
    for label, values, face, hatch, offset in series:
        bars = left.barh(
            [y + offset for y in range(len(names))], [max(value, 1) for value in values], height=0.23,
            color=face, hatch=hatch or None, edgecolor=INK, linewidth=0.6, label=label,
        )  # fmt: skip
        left.bar_label(
            bars, [human_bytes(value) if value else "–" for value in values], padding=3, fontsize=7.5, color=SOFT
        )
    _bytes_axis(left, [value for _, values, *_ in series for value in values])
    left.set_yticks(range(len(names)), names)
    left.set_ylim(max(len(names), 1) - 0.5, -0.5)
    seconds = [site.train_seconds for site in sites]
    bars = right.barh(range(len(names)), seconds, color=ORANGE, edgecolor=INK, linewidth=0.6, height=0.5)
    right.bar_label(
        bars,
        [f"{value:.2g} s" if value < 10 else f"{value:.0f} s" for value in seconds],
        padding=3,
        fontsize=7.5,
        color=SOFT,
    )
    right.set_title("seconds of training")
    left.set_title("bytes (each step to the right: ten times as many)")
    right.margins(x=0.3)
    for axes in (left, right):
        _rows(axes)
    drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return drawn


def _bytes_axis(axes: Any, values: list[int]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    positive = [value for value in values if value > 0] or [1]
    axes.set_xscale("log")
    axes.set_xlim(max(1, min(positive) / 4), max(positive) * 8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_bytes(round(value))))
    axes.xaxis.set_minor_locator(NullLocator())


def _rows(axes: Any) -> None:
    plain(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
