"""Figures of plans side by side: versions and metric over time, staleness, shares, bytes and waste.

Knows:    a plan keeps its colour and its dashes in every figure; dashes tell plans apart without colour.
"""

from collections.abc import Sequence
from typing import Any

from rehearsal.play import Played
from runtime.units import human_bytes
from wardround.report.style import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SOFT,
    VERMILION,
    figure,
    legend,
    plain,
    whole_numbers,
)

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
_UNITS = ((86_400_000.0, "days"), (3_600_000.0, "hours"), (60_000.0, "minutes"))


def versions(played: Sequence[Played]) -> Any:
    """When each version was there."""
    drawn = figure(2.9)
    axes = drawn.subplots()
    per_ms, unit = _unit(played)
    for index, one in enumerate(played):
        times = [at / per_ms for at in one.course.version_ms]
        axes.step(times, range(len(times)), where="post", label=one.label, **_line(index))
    axes.set_xlabel(f"{unit} since the beginning")
    axes.set_ylabel("version")
    axes.margins(x=0.02)
    plain(axes)
    _legend(drawn, axes)
    return drawn


def metric(played: Sequence[Played], target: float | None) -> Any:
    """The metric of each version when it was there, with the target; the scale is that of version 1 and later."""
    drawn = figure(3.1)
    axes = drawn.subplots()
    per_ms, unit = _unit(played)
    for index, one in enumerate(played):
        axes.step(
            [at / per_ms for at, _ in one.curve], [value for _, value in one.curve], where="post", label=one.label,
            **_line(index),
        )  # fmt: skip
    if target is not None:
        axes.axhline(target, color=SOFT, linewidth=1, label=f"target {target:.3f}")
    learnt = [value for one in played for _, value in one.curve[1:]] + ([] if target is None else [target])
    margin = 0.05 * (max(learnt) - min(learnt)) or 0.01
    axes.set_ylim(min(learnt) - margin, max(learnt) + margin)
    rule = played[0].plan.evaluation
    axes.set_xlabel(f"{unit} since the beginning")
    axes.set_ylabel(f"{rule.metric} ({'higher' if rule.higher_is_better else 'lower'} is better)")
    axes.margins(x=0.02)
    plain(axes)
    _legend(drawn, axes)
    return drawn


def staleness(played: Sequence[Played]) -> Any:
    """The share of counted updates that were at most so late."""
    drawn = figure(2.7)
    axes = drawn.subplots()
    latest = max((max(one.course.staleness, default=0) for one in played), default=0)
    for index, one in enumerate(played):
        seen, shares = 0, []
        for late in range(latest + 1):
            seen += one.course.staleness[late]
            shares.append(100 * seen / max(1, one.course.counted))
        axes.step(range(latest + 1), shares, where="post", label=one.label, **_line(index))
    axes.set_xlabel("versions late, at most")
    axes.set_ylabel("% of the counted updates")
    axes.set_ylim(0, 103)
    whole_numbers(axes)
    plain(axes)
    _legend(drawn, axes)
    return drawn


def shares(played: Sequence[Played]) -> Any:
    """Each site's effective share over an even one, from the least heard to the most."""
    drawn = figure(2.7)
    axes = drawn.subplots()
    for index, one in enumerate(played):
        values = sorted(one.course.shares().values())
        places = [100 * (place + 0.5) / len(values) for place in range(len(values))]
        axes.step(places, [value * len(values) for value in values], where="mid", label=one.label, **_line(index))
    axes.axhline(1, color=SOFT, linewidth=1, label="every site alike")
    axes.set_xlabel("sites, from the least heard to the most, in %")
    axes.set_ylabel("share over an even share")
    axes.set_ylim(bottom=0)
    plain(axes)
    _legend(drawn, axes)
    return drawn


def costs(played: Sequence[Played]) -> Any:
    """Mean bytes up and down of a site, and the share of training that was wasted."""
    drawn = figure(0.9 + 0.34 * len(played))
    left, right = drawn.subplots(1, 2, width_ratios=(2, 1), sharey=True)
    places = range(len(played))
    for offset, name, label, face, hatch in (
        (-0.19, "up_bytes", "sent", SKY, None),
        (0.19, "down_bytes", "fetched", "#ffffff", "////"),
    ):
        means = [sum(getattr(site, name) for site in _sites(one)) / len(_sites(one)) for one in played]
        bars = left.barh(
            [place + offset for place in places], means, height=0.36, color=face, hatch=hatch, edgecolor=INK,
            linewidth=0.6, label=label,
        )  # fmt: skip
        left.bar_label(bars, [human_bytes(mean) for mean in means], padding=3, fontsize=7.5, color=SOFT)
    wasted = [100 * one.course.wasted for one in played]
    bars = right.barh(places, wasted, height=0.5, color=ORANGE, edgecolor=INK, linewidth=0.6)
    right.bar_label(bars, [f"{value:.1f} %" for value in wasted], padding=3, fontsize=7.5, color=SOFT)
    left.set_yticks(places, [one.label for one in played])
    left.set_ylim(len(played) - 0.5, -0.5)
    left.set_xticks([])
    right.set_xticks([])
    left.set_title("bytes of a site, mean")
    right.set_title("training wasted")
    for axes in (left, right):
        axes.margins(x=0.25)
        plain(axes, grid="x")
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return drawn


def _sites(one: Played) -> list[Any]:
    return list(one.course.sites.values())


def _unit(played: Sequence[Played]) -> tuple[float, str]:
    longest = max((one.course.version_ms[-1] for one in played if one.course.version_ms), default=0)
    return next(((length, name) for length, name in _UNITS if longest > 3 * length), (1000.0, "seconds"))


def _line(index: int) -> dict[str, Any]:
    return {"color": _COLOURS[index % len(_COLOURS)], "linestyle": _DASHES[index % len(_DASHES)], "linewidth": 1.7}


def _legend(drawn: Any, axes: Any) -> None:
    legend(drawn, *axes.get_legend_handles_labels())
