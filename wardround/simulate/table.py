"""Plans side by side: a table for a terminal, values for a script."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rehearsal.play import Played
from rehearsal.variants import Variant
from runtime.units import human_bytes, human_time

SIDE_BY_SIDE = 4  # plans that fit a terminal of 80 columns
EXPLAINED = (
    "staleness: mean, in versions, of the updates that counted. wasted: training time whose update never counted. "
    "voices: how many sites, all heard alike, would spread the influence as widely. The local baseline is not played."
)


def rows(played: Sequence[Played], target: float | None) -> tuple[list[str], list[list[str]]]:
    """Headings, and one row a plan that was played; its label first. `target`: where something was learnt."""
    head = ["plan", "versions", "time", "a version", "counted", "staleness", "late at most", "wasted", "voices"]
    head += ["least share", "most share", "up a site", "down a site"]
    if target is not None:
        name = played[0].plan.evaluation.metric
        head += ["clipped", f"{name} at the end", f"until {target:.3f}", "for good"]
    return head, [_row(one, target) for one in played]


def _row(one: Played, target: float | None) -> list[str]:
    course, shares, sites = one.course, one.course.shares(), one.course.sites
    version_s = course.version_ms[-1] / 1000 if course.version_ms else 0.0
    short = "" if one.ended == "versions" else f" of {one.plan.stop.versions}"
    cells = [
        one.label,
        f"{course.versions}{short}",
        human_time(version_s),
        human_time(version_s / course.versions) if course.versions else "–",
        f"{course.counted}",
        f"{course.staleness_mean:.1f}",
        f"{max(course.staleness, default=0)} (95 %: {course.staleness_within(0.95)})",
        f"{course.wasted:.1%}",
        f"{course.heard():.1f} of {len(sites)}",
        f"{min(shares.values()):.2%}",
        f"{max(shares.values()):.2%}",
        human_bytes(sum(site.up_bytes for site in sites.values()) / len(sites)),
        human_bytes(sum(site.down_bytes for site in sites.values()) / len(sites)),
    ]
    if target is not None:
        times = (one.reached_ms(target), one.held_ms(target))
        cells.append("–" if one.clipped is None else f"{one.clipped:.0%}")
        cells += [f"{one.curve[-1][1]:.4f}", *("never" if at is None else human_time(at / 1000) for at in times)]
    return cells


def show(found: Sequence[Variant], played: Sequence[Played], target: float | None) -> None:
    """Print one column a plan, then the plans that are none, with their reasons."""
    console = Console()
    head, cells = rows(played, target)
    for start in range(0, len(cells), SIDE_BY_SIDE):
        beside = cells[start : start + SIDE_BY_SIDE]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("", no_wrap=True)
        for one in beside:
            table.add_column(one[0], justify="right")
        for index, heading in enumerate(head[1:], start=1):
            table.add_row(heading, *(one[index] for one in beside))
        console.print(table)
        console.print()
    if cells:
        console.print(EXPLAINED, style="bright_black")
    for said in remarks(played, target):
        console.print(said, markup=False, soft_wrap=True)
    for variant in found:
        if variant.refused:
            console.print(f"{variant.label}: no plan: {variant.refused}", markup=False)


def remarks(played: Sequence[Played], target: float | None) -> list[str]:
    """What a reader of the table might misread: advice, an untrained model at the target, plans that played alike."""
    said = [f"look again, {one.label}: {word}" for one in played for word in one.look_again]
    untrained = [one.label for one in played if target is not None and one.untrained_reaches(target)]
    if untrained:
        said.append(
            f"version 0, untrained, is at the target of {target:.3f} already ({', '.join(untrained)}): times are those "
            "of later versions; a plan with this stop.target would end after version 1"
        )
    alike: dict[tuple[object, ...], list[str]] = {}
    for one in played:
        history = (tuple(one.course.version_ms), tuple(sorted(one.course.shares().items())), one.course.counted)
        alike.setdefault(history, []).append(one.label)
    for labels in alike.values():
        if len(labels) > 1:
            said.append(
                f"the same history: {'; '.join(labels)}. What tells them apart changed nothing in who was heard when"
            )
    return said


def values(found: Sequence[Variant], played: Sequence[Played], target: float | None, seed: int) -> Mapping[str, Any]:
    """Everything as JSON: what was played and what was refused, units in the names."""
    return {
        "seed": seed,
        "target": target,
        "plans": [
            {
                "label": one.label,
                "plan": one.plan.digest.hex(),
                "ended": one.ended,
                **one.course.values(),
                "look_again": list(one.look_again),
                "clipped": one.clipped,
                "curve": [[at / 1000, value] for at, value in one.curve],
                "reached_s": _seconds(one.reached_ms(target)) if target is not None else None,
                "held_s": _seconds(one.held_ms(target)) if target is not None else None,
            }
            for one in played
        ],
        "refused": {one.label: one.refused for one in found if one.refused},
    }


def circumstances(arguments: argparse.Namespace, sites: int) -> list[tuple[str, str]]:
    """What was assumed about sites and links, as (name, text)."""
    speeds = str(arguments.speeds) if arguments.speeds else f"median {arguments.train}, factor {arguments.spread:g}"
    rates = "as in the file" if arguments.speeds else f"median {arguments.up} up, {arguments.down} down"
    return [
        ("Sites", str(sites)),
        ("Links up", arguments.trace),
        ("A training", speeds),
        ("Rates", rates),
        ("Seed", str(arguments.seed)),
    ]


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
