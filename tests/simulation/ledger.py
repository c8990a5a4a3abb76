"""What the histories play, counted as they are played: events, effects, and the points at which a process may die.

Knows:    all there is to play, from the code itself: unions of events, effects and records, and the named points.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest

from coordinator.core import events as coordinator_facts
from coordinator.core.study import StudyCore as CoordinatorCore
from participant.core import effects as participant_effects
from participant.core import events as participant_events
from participant.core.study import StudyCore as SiteCore
from protocol.rounds import RoundsRecord
from schemas.records import EpochKey, Receipt
from simulation.faults import BEFORE_AT_COORDINATORS, BEFORE_AT_SITES, Fault
from simulation.histories import History, Play, draw
from simulation.observe import Observer
from simulation.plans import PLANS
from simulation.process import KILLED, Point, SitePoint

COORDINATOR, SITE = "coordinator", "site"
HISTORIES = 250
TRIES_MAX = 60  # histories for one death that none of those had
UNDER = {  # what leads to it, where anything that may go wrong seldom does
    "Unload": ("slow", "pause", "cut"),
    "Hold": ("flood",),
    "Release": ("flood",),
    "Ignored": ("twice", "repeat"),
    "Remove": ("roster", "exclude"),
    "Failed": ("overflow", "range"),
    Point.HIDDEN: ("markers",),
    Point.SHOWN: ("markers",),
    "Alarm": ("trainer", "refused", "load"),
    "Halt": ("old-copy",),
    "StopFetching": ("pause-site", "roster", "slow"),
}


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One thing to be played: an event or an effect of a core, or a death before an effect, a record or a point."""

    who: str
    what: str
    name: str


def lines() -> Iterator[Line]:
    """All there is to play."""
    unions = {
        COORDINATOR: (coordinator_facts.Event, coordinator_facts.Effect),
        SITE: (participant_events.Event, participant_effects.Effect),
    }
    for who, (events, effects) in unions.items():
        yield from (Line(who, "event", one.__name__) for one in get_args(events))
        for effect in get_args(effects):
            yield Line(who, "effect", effect.__name__)
            yield Line(who, "death", effect.__name__)
    for record in (*get_args(RoundsRecord), Receipt, EpochKey):
        yield Line(COORDINATOR, "death", record.__name__)
    yield from (Line(COORDINATOR, "death", point.value) for point in Point)
    yield from (Line(SITE, "death", point.value) for point in SitePoint)


class Deaths(Observer):
    """Notes before what processes were killed."""

    def __init__(self, played: set[Line]) -> None:
        self._played = played

    def on_ended(self, process: str, reason: str, now_ms: int) -> None:
        killed, _, point = reason.partition(" before ")
        if killed == KILLED and point:
            who = COORDINATOR if process.startswith(COORDINATOR) else SITE
            self._played.add(Line(who, "death", point))


def played(wanted: Iterable[Line]) -> set[Line]:
    """What some hundred histories play, and some more for those of `wanted` that these do not."""
    found: set[Line] = set()
    told, told_all = CoordinatorCore.on, SiteCore.on_all

    def note(who: str, events: Any, effects: Any) -> None:
        found.update(Line(who, "event", type(one).__name__) for one in events)
        found.update(Line(who, "effect", type(one).__name__) for one in effects)

    def on(self: CoordinatorCore, event: Any, now_ms: int) -> Any:
        effects = told(self, event, now_ms)
        note(COORDINATOR, [event], effects)
        return effects

    def on_all(self: SiteCore, events: Any, now_ms: int) -> Any:
        effects = told_all(self, events, now_ms)
        note(SITE, events, effects)
        return effects

    def play(history: History) -> None:
        one = Play(history, PLANS)
        one.world.scene.story.observers.append(Deaths(found))
        one.run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CoordinatorCore, "on", on)
        patch.setattr(SiteCore, "on_all", on_all)
        for seed in range(HISTORIES):
            play(draw(seed, PLANS))
        for line in (one for one in wanted if one not in found):
            for seed in range(TRIES_MAX):
                if line not in found:
                    play(_doomed(draw(seed, PLANS, UNDER.get(line.name, ())), line))
    return found


def _doomed(history: History, line: Line) -> History:
    """The same, and each process of this kind is killed once where `line` says."""
    if line.what != "death":
        return history
    if line.who == SITE:
        points, names = BEFORE_AT_SITES, [f"site-{at}" for at in range(history.sites)]
    else:
        points, names = BEFORE_AT_COORDINATORS, [f"coordinator-{at + 1}" for at in range(history.coordinators)]
    at_ms = 4 * len(points) + points.index(line.name)
    dooms = tuple(Fault("die-before", name, at_ms, length_ms=500) for name in names)
    return replace(history, faults=(*dooms, *history.faults))
