"""Whole histories with faults: drawn from a seed, played under the checks, and made shorter where one fails.

Knows:    a history is a value: leaving out a fault or a site gives another history that can be played.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from schemas.plan import Plan
from simulation.checks import Checks
from simulation.clock import NEVER_MS
from simulation.faults import LINKS, ON_COORDINATORS, ON_SITES, Director, Fault, spans_of
from simulation.hostile import ROGUE
from simulation.premises import SiteSpec
from simulation.scene import Costs
from simulation.verdict import Broken
from simulation.world import Outcome, World

STORM_MS = 60_000  # faults begin within this time
BEGIN_MS = 1_500  # some of them while the study begins
REST_MS = 3 * 3_600_000  # after the last version everybody hears of it within this time
LOOK_MS = 10 * 60_000
DEAD_MS = 2_000
JUDGES = 0.2  # of the sites that a study can do without
APART = 0.25  # of the histories
COSTS = Costs(spool_bytes=1_000)  # room for two bodies of a hundred parameters


@dataclass(frozen=True, slots=True)
class History:
    """Everything that decides what happens; `plan` is an index into the plans it is played with."""

    seed: int
    plan: int
    sites: int
    coordinators: int
    disorder_ms: int
    faults: tuple[Fault, ...]
    until_ms: int = 0  # cut short there; 0: to its end
    asks_apart: bool = False  # coordinators commit a Request before its end, as where a plan names trustees

    @property
    def calm_ms(self) -> int:
        """When the last fault is over."""
        return max((fault.over_ms for fault in self.faults), default=0)


def draw(seed: int, plans: Sequence[Plan], kinds: Sequence[str] = ()) -> History:
    """The history of this seed: as many sites as its plan needs and up to two more, one or two coordinators, up to a
    dozen faults; `kinds` draws of these kinds of faults alone.
    """
    chance = random.Random(f"history {seed}")
    plan = chance.randrange(len(plans))
    least = plans[plan].aggregation.goal
    sites = least + chance.randrange(3)
    coordinators = 1 + chance.randrange(2)
    names = [f"site-{at}" for at in range(sites)]
    leaders = [f"coordinator-{at + 1}" for at in range(coordinators)]
    number = chance.choice((0, 1, 2, 4, 6, 9, 12))
    drawn = [_fault(chance, names, leaders, kinds) for _ in range(number)]
    faults = tuple(sorted(drawn, key=lambda fault: fault.at_ms))
    disorder_ms = chance.choice((0, 1, 50, 500))
    return History(seed, plan, sites, coordinators, disorder_ms, faults, asks_apart=chance.random() < APART)


def _fault(chance: random.Random, sites: Sequence[str], coordinators: Sequence[str], kinds: Sequence[str]) -> Fault:
    on_sites = [kind for kind in ON_SITES if kind in kinds or not kinds]
    on_coordinators = [kind for kind in ON_COORDINATORS if kind in kinds or not kinds]
    leading = on_coordinators and (chance.random() < 0.4 or not on_sites)
    kind = chance.choice(on_coordinators if leading else on_sites)
    who = chance.choice(coordinators if leading else sites)
    length_ms = chance.choice((50, 400, 3_000, 9_000, 25_000))
    if kind in ("die", "kill"):
        length_ms = chance.choice((1, 500, DEAD_MS, 12_000))
    at_ms = chance.randrange(STORM_MS if chance.random() < 0.9 else BEGIN_MS)
    return Fault(kind, who, at_ms, length_ms, chance.randrange(14))


class Play:
    """One history under the checks."""

    def __init__(self, history: History, plans: Sequence[Plan]) -> None:
        plan = plans[history.plan]
        self.history = history
        chance = random.Random(f"sites {history.seed}")
        specs = [_spec(chance, at, plan) for at in range(history.sites)]
        self.world = World(
            plan, specs, seed=history.seed, costs=COSTS, coordinators=history.coordinators,
            rogues=[ROGUE], measure=_measure if plan.stop.patience or plan.stop.target is not None else None,
            disorder_ms=history.disorder_ms, spans=spans_of(history.faults), asks_apart=history.asks_apart,
        )  # fmt: skip
        self.checks = Checks(self.world, calm_ms=history.calm_ms)
        self.world.scene.story.observers.append(self.checks)
        Director(self.world, history.faults)

    def run(self) -> Outcome:
        """Until the study is over and everybody has heard of it. Raises Broken."""
        world, until_ms = self.world, self.history.until_ms or NEVER_MS
        while not world.final and world.clock.now_ms < until_ms:
            world.run(until_ms=min(world.clock.now_ms + LOOK_MS, until_ms))
            self.checks.look(world.clock.now_ms)
        if world.clock.now_ms >= until_ms:
            return world.run(until_ms=until_ms)
        outcome = world.run(until_ms=max(world.clock.now_ms, self.history.calm_ms) + REST_MS)
        self.checks.at_rest()
        return outcome


def _spec(chance: random.Random, at: int, plan: Plan) -> SiteSpec:
    floor = chance.choice((1, 1, 1, plan.aggregation.minimum, plan.aggregation.goal))
    return SiteSpec(
        f"site-{at}", train_ms=chance.choice((700, 2_000, 6_000)), evaluate_ms=chance.choice((1, 100)), spread=0.5,
        up_bytes_s=chance.choice((6e1, 4e2, 1e4, 1e6)), down_bytes_s=1e5, latency_ms=chance.choice((1, 30, 300)),
        floor=floor, judges=at >= plan.aggregation.goal and chance.random() < JUDGES,
    )  # fmt: skip


def _measure(site: str, version: int) -> tuple[float, float]:
    """Some value that rises at first and then stays."""
    drawn = hashlib.sha256(f"{site} {version}".encode()).digest()
    return (min(version, 6) * 1000 + drawn[0]) / 10_000, 1.0 + drawn[1]


def broken(history: History, plans: Sequence[Plan]) -> Broken | None:
    """What the history breaks, if it does. Any other error of a core or a shell is an end that nobody asked for."""
    play = Play(history, plans)
    try:
        play.run()
    except Broken as error:
        found = error
    except Exception as error:
        found = Broken("crash", f"{type(error).__name__} {error}")
    else:
        return None
    found.at_ms = play.world.clock.now_ms
    return found


def shrink(history: History, sites_min: int, fails: Callable[[History], bool]) -> History:
    """The smallest history found that still `fails`: fewer faults, fewer sites (but `sites_min`), calmer, shorter."""
    for _ in range(50):
        smaller = next((one for one in _smaller(history, sites_min) if fails(one)), None)
        if smaller is None:
            break
        history = smaller
    return history


def _smaller(history: History, sites_min: int) -> Iterator[History]:
    faults = history.faults
    half = len(faults) // 2
    if half > 1:
        yield replace(history, faults=faults[:half])
        yield replace(history, faults=faults[half:])
    for at in range(len(faults)):
        yield replace(history, faults=faults[:at] + faults[at + 1 :])
    ends_ms = [fault.over_ms for fault in faults]
    if not history.until_ms and ends_ms:
        yield replace(history, until_ms=max(ends_ms) + 1_000)
    last = f"site-{history.sites - 1}"
    if history.sites > sites_min and all(fault.who != last for fault in faults):
        yield replace(history, sites=history.sites - 1)
    if history.coordinators > 1 and all(fault.who != "coordinator-2" for fault in faults):
        yield replace(history, coordinators=1)
    if history.asks_apart:
        yield replace(history, asks_apart=False)
    if history.disorder_ms:
        yield replace(history, disorder_ms=0)
    for at, fault in enumerate(faults):
        if fault.length_ms > 100 and fault.kind in LINKS:
            yield replace(history, faults=(*faults[:at], replace(fault, length_ms=50), *faults[at + 1 :]))
