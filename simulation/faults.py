"""What may go wrong in a history: each fault one value, drawn before the history begins, so that any may be left out.

Knows:    how each kind is done to a world, and how it ends.
Never:    touches a core: faults come from outside, as in life.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

from coordinator.core import events as coordinator_facts
from participant.core import effects as participant_effects
from protocol.rounds import RoundsRecord
from schemas.records import Action, EpochKey, Receipt
from simulation.coordinator import Coordinator
from simulation.hostile import flood, meddle, send_hostile
from simulation.link import CUT, STALLED, Quality, Span
from simulation.process import KILLED, Doom, Point, Process, SitePoint
from simulation.records import SentOffer
from simulation.scene import Scene
from simulation.site import Site
from simulation.store import Content
from simulation.world import World


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `number` is the kind's own: effects before a death, which record, how often."""

    kind: str
    who: str
    at_ms: int
    length_ms: int = 0
    number: int = 0

    @property
    def over_ms(self) -> int:
        return self.at_ms + self.length_ms


LINKS: dict[str, Quality] = {
    "cut": CUT,
    "stall": STALLED,
    "slow": Quality(up=0.02, down=0.02, latency=20.0),
    "down-only": Quality(up=0.0, silent=True),
    "up-only": Quality(down=0.0, silent=True),
}
BEFORE_AT_COORDINATORS = (
    *(one.__name__ for one in (*get_args(coordinator_facts.Effect), *get_args(RoundsRecord), Receipt, EpochKey)),
    *Point,
)
BEFORE_AT_SITES = (*(one.__name__ for one in get_args(participant_effects.Effect)), *SitePoint)
FLAPS = 4
FORGOTTEN = (("rounds", "receipts"), ("receipts",), ("rounds",))


def spans_of(faults: Iterable[Fault]) -> list[tuple[str, Span]]:
    """What the faults do to links, told to a World before it begins."""
    found: list[tuple[str, Span]] = []
    for fault in faults:
        if fault.kind in LINKS:
            found.append((fault.who, (fault.at_ms, fault.over_ms, LINKS[fault.kind])))
        elif fault.kind == "flap":
            step = max(2, fault.length_ms // (2 * FLAPS))
            begins = (fault.at_ms + 2 * step * time for time in range(FLAPS))
            found += [(fault.who, (begin, begin + step, CUT)) for begin in begins]
    return found


class Director:
    """Does the faults to a world when their time has come."""

    def __init__(self, world: World, faults: Iterable[Fault]) -> None:
        self.life = self.frozen_until_ms = 0
        self._world = world
        for fault in faults:
            if fault.kind not in LINKS and fault.kind != "flap":
                world.clock.at(fault.at_ms, self, DEEDS[fault.kind], self, fault)

    def ended(self, reason: str) -> None:
        raise AssertionError(reason)

    @property
    def world(self) -> World:
        return self._world

    @property
    def scene(self) -> Scene:
        return self._world.scene

    def process(self, fault: Fault) -> Process:
        return self._world.processes[fault.who]

    def site(self, fault: Fault) -> Site:
        return self._world.sites[fault.who]

    def later(self, fault: Fault, call: Callable[..., None], *arguments: object) -> None:
        """Call when the fault is over."""
        self._world.clock.at(fault.over_ms, self, call, *arguments)


def _die(director: Director, fault: Fault) -> None:
    """Killed between two effects, `number` effects from now."""
    process = director.process(fault)
    process.doom, process.restart_after_ms = Doom(fault.number), fault.length_ms


def _die_before(director: Director, fault: Fault) -> None:
    """Killed before the next effect, record or step of one kind, however long that takes; the time says which kind."""
    process = director.process(fault)
    points = BEFORE_AT_COORDINATORS if isinstance(process, Coordinator) else BEFORE_AT_SITES
    process.doom = Doom(before=points[fault.at_ms % len(points)])
    process.restart_after_ms = fault.length_ms


def _kill(director: Director, fault: Fault) -> None:
    process = director.process(fault)
    process.restart_after_ms = fault.length_ms
    process.ended(KILLED)


def _freeze(director: Director, fault: Fault) -> None:
    process = director.process(fault)
    if isinstance(process, Coordinator):
        director.world.election.freeze(process, fault.length_ms)
    else:
        process.frozen_until_ms = fault.over_ms


def _lead(director: Director, fault: Fault) -> None:
    director.world.election.move()


def _disk(director: Director, fault: Fault) -> None:
    director.site(fault).set_disk_full(True)
    director.later(fault, director.site(fault).set_disk_full, False)


def _clock(director: Director, fault: Fault) -> None:
    """A monotonic clock that runs away: a suspended machine, a clock that is slewed."""
    director.process(fault).ahead_ms += 1_000 * fault.number


def _trainer(director: Director, fault: Fault) -> None:
    """It crashes a few times: as it trains, or as it measures."""
    trouble, times = director.site(fault).trouble, 1 + fault.number % 3
    if fault.number % 2:
        trouble.measuring_fails = times
    else:
        trouble.trainer_fails = times


def _load(director: Director, fault: Fault) -> None:
    """Task and data cannot be loaded: at the next start, or by a new trainer before that."""
    director.site(fault).trouble.load_fails = 1 + fault.number % 3


def _refused(director: Director, fault: Fault) -> None:
    """The broker refuses what a site sends: the first chunk of a body, or an offer."""
    director.site(fault).trouble.send_fails = 1 + fault.number % 3


def _room(director: Director, fault: Fault) -> None:
    """Other studies of a site fill its outbox for a while."""
    _set_no_room(director.site(fault), True)
    director.later(fault, _set_no_room, director.site(fault), False)


def _set_no_room(site: Site, full: bool) -> None:
    site.trouble.no_room = full
    if site.alive:
        site.clock.after(0, site, site.look_for_room)


def _leave(director: Director, fault: Fault) -> None:
    """A site's own operator takes it out, and brings it back after a while."""
    site = director.site(fault)
    site.wished(replace(site.wish, leaving=True, back_ms=fault.over_ms + 1))
    director.later(fault, _come_back, site)


def _come_back(site: Site) -> None:
    site.wished(replace(site.wish, leaving=False))


def _range(director: Director, fault: Fault) -> None:
    """The next update is outside its bounds."""
    director.site(fault).trouble.damage = 1


def _overflow(director: Director, fault: Fault) -> None:
    """The next sum fails its range check."""
    for node in director.world.coordinators.values():
        node.mishaps.overflows = 1


def _answer(director: Director, fault: Fault) -> None:
    """The answer to the next commit gets lost."""
    for node in director.world.coordinators.values():
        node.mishaps.loses_answer = True


def _abort(director: Director, fault: Fault) -> None:
    """The broker takes the next transaction back."""
    for node in director.world.coordinators.values():
        node.mishaps.aborts = True


def _markers(director: Director, fault: Fault) -> None:
    """The broker dies as it ends the next transaction, and forgets its markers on some topics."""
    director.world.log.forgets = FORGOTTEN[fault.number % len(FORGOTTEN)]


def _flood(director: Director, fault: Fault) -> None:
    flood(director.scene, 2 * fault.number)


def _strangers(director: Director, fault: Fault) -> None:
    meddle(director.scene, fault.number, random.Random(f"{director.scene.seed}/{fault}"))


def _hostile(director: Director, fault: Fault) -> None:
    chance = random.Random(f"{director.scene.seed}/{fault}")
    send_hostile(director.scene, fault.who, fault.number, chance)


def _twice(director: Director, fault: Fault) -> None:
    director.site(fault).trouble.sends_twice = True


def _repeat(director: Director, fault: Fault) -> None:
    """An offer of long ago comes once more, as it was."""
    topic = director.world.log.offers[fault.who]
    known = [entry.value for entry in topic.read(0)[0] if isinstance(entry.value, SentOffer)]
    if known:
        offer = known[fault.number % len(known)]
        director.scene.append(fault.who, replace(offer, fact=replace(offer.fact, offset=topic.end)))


def _bodies_gone(director: Director, fault: Fault) -> None:
    """Retention has taken the bodies of a site."""
    topic = director.world.log.bodies[fault.who]
    topic.trim(topic.end)


def _offers_gone(director: Director, fault: Fault) -> None:
    """Retention has taken the offers of a site, read or not."""
    topic = director.world.log.offers[fault.who]
    topic.trim(topic.end)


def _roster(director: Director, fault: Fault) -> None:
    """The roster leaves a site out for a while."""
    director.world.change_members(fault.who, False)
    director.later(fault, director.world.change_members, fault.who, True)


def _anew(director: Director, fault: Fault) -> None:
    """A site's offers topic is deleted and made anew."""
    director.scene.renew(fault.who)


def _new_key(director: Director, fault: Fault) -> None:
    """A site is started with another signing key: before the registrar has published it, or before that is read."""
    site, world = director.site(fault), director.world
    key = site.key = site.key + 1
    site.restart_after_ms = 500
    site.ended(KILLED)
    if fault.number % 2:
        world.publish(director.scene.roster.with_key(site.name, key), late_ms=fault.length_ms)
    else:
        director.later(fault, lambda: world.publish(director.scene.roster.with_key(site.name, key)))


def _stolen(director: Director, fault: Fault) -> None:
    """Who has stolen an operator's key pauses the study, or shuts a site out, until that key is revoked."""
    thief, world = f"thief-{fault.at_ms}", director.world
    if fault.number % 2:
        world.command(Action.PAUSE, operator=thief)
    else:
        world.command(Action.EXCLUDE, site=sorted(world.sites)[0], operator=thief)
    director.later(fault, lambda: world.publish(director.scene.roster.without_operator(thief)))


def _pause(director: Director, fault: Fault) -> None:
    """An operator pauses the study for a while."""
    director.world.command(Action.PAUSE)
    director.later(fault, director.world.command, Action.RESUME)


def _exclude(director: Director, fault: Fault) -> None:
    """An operator leaves a site out for a while."""
    director.world.command(Action.EXCLUDE, site=fault.who)
    director.later(fault, partial(director.world.command, Action.INCLUDE, site=fault.who))


def _close(director: Director, fault: Fault) -> None:
    """An operator closes the round that is under way as soon as the minimum is there."""
    director.world.command(Action.CLOSE, version=max(0, director.world.version))


def _pause_site(director: Director, fault: Fault) -> None:
    """A site's own operator pauses it for a while."""
    _set_paused(director.site(fault), True)
    director.later(fault, _set_paused, director.site(fault), False)


def _set_paused(site: Site, paused: bool) -> None:
    site.wished(replace(site.wish, paused=paused))


def _old_copy(director: Director, fault: Fault) -> None:
    """A site's folder is restored from a copy made `length_ms` before."""
    director.later(fault, _restore_copy, director, fault, director.site(fault).disk.copy())


def _restore_copy(director: Director, fault: Fault, copy: Content) -> None:
    site = director.site(fault)
    site.restart_after_ms = 1_000
    site.ended(KILLED)
    site.disk, site.copied = copy, True


DEEDS: dict[str, Callable[[Director, Fault], None]] = {
    "die": _die,
    "die-before": _die_before,
    "kill": _kill,
    "freeze": _freeze,
    "lead": _lead,
    "disk": _disk,
    "clock": _clock,
    "trainer": _trainer,
    "load": _load,
    "refused": _refused,
    "room": _room,
    "leave": _leave,
    "range": _range,
    "overflow": _overflow,
    "answer": _answer,
    "abort": _abort,
    "markers": _markers,
    "flood": _flood,
    "twice": _twice,
    "repeat": _repeat,
    "bodies-gone": _bodies_gone,
    "offers-gone": _offers_gone,
    "roster": _roster,
    "anew": _anew,
    "new-key": _new_key,
    "stolen": _stolen,
    "pause": _pause,
    "exclude": _exclude,
    "pause-site": _pause_site,
    "close": _close,
    "old-copy": _old_copy,
    "hostile": _hostile,
    "strangers": _strangers,
}
ON_COORDINATORS = (
    "die",
    "die-before",
    "kill",
    "freeze",
    "lead",
    "clock",
    "overflow",
    "answer",
    "abort",
    "markers",
    "pause",
    "stolen",
    "close",
    "strangers",
    "cut",
    "stall",
    "slow",
)
ON_SITES = (
    "die", "die-before", "kill", "freeze", "disk", "clock", "trainer", "load", "refused", "room", "leave", "range",
    "twice", "repeat", "bodies-gone", "offers-gone", "anew", "new-key", "roster", "exclude", "pause-site", "old-copy",
    "hostile", "flood", *LINKS, "flap",
)  # fmt: skip
