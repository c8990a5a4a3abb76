"""A history on virtual time: the same for the same seed, whatever the machine; and what it tells is what happened."""

from collections import Counter

import numpy as np

from schemas.records import Action
from simulation.observe import Observer
from simulation.plans import plan_of
from simulation.premises import SiteSpec
from simulation.process import KILLED
from simulation.records import Floats
from simulation.scene import Costs
from simulation.vectors import Learner
from simulation.world import Outcome, World
from tests.simulation.sites import sites_of

HOUR_MS = 3_600_000


class Count(Observer):
    """What was told, added up."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, int]] = Counter()
        self.trained: Counter[str] = Counter()
        self.bytes: Counter[tuple[str, str]] = Counter()
        self.settled: Counter[str] = Counter()
        self.staleness: Counter[int] = Counter()
        self.versions: list[tuple[int, int]] = []

    def on_counted(self, site: str, sequence: int, base_version: int, version: int, weight: int, now_ms: int) -> None:
        self.counted[site, sequence] += 1
        self.staleness[version - 1 - base_version] += 1

    def on_trained(self, site: str, base_version: int, trained_ms: int, now_ms: int) -> None:
        self.trained[site] += 1

    def on_bytes(self, site: str, direction: str, size_bytes: int, now_ms: int) -> None:
        self.bytes[site, direction] += size_bytes

    def on_version(self, version: int, n: int, sum_w: int, now_ms: int) -> None:
        self.versions.append((version, now_ms))

    def on_settled(self, site: object, sequence: int, outcome: str, now_ms: int) -> None:
        self.settled[outcome] += 1


def play(seed: int, *observers: Observer) -> Outcome:
    plan = plan_of(goal=3, minimum=2, deadline_ms=20_000, versions=8)
    return World(plan, sites_of(5), seed=seed, observers=observers, disorder_ms=40).run(until_ms=HOUR_MS)


def test_a_study_runs_to_its_end_and_counts_each_update_once() -> None:
    count = Count()
    outcome = play(1, count)
    assert outcome.final
    assert outcome.version == 8
    assert set(count.counted.values()) == {1}
    assert len(count.counted) == count.settled["counted"]
    assert [version for version, _ in count.versions] == list(range(9))


def test_one_seed_is_one_history_and_another_seed_another() -> None:
    assert play(1) == play(1)
    assert play(1).digest != play(2).digest


def test_looking_on_changes_nothing() -> None:
    assert play(3, Count(), Count()) == play(3)


def test_a_history_may_be_looked_at_in_the_middle() -> None:
    def world() -> World:
        return World(plan_of(versions=5), sites_of(4), seed=4)

    whole, parts = world(), world()
    for minute in range(60):
        parts.run(until_ms=minute * 60_000)
    assert parts.run(until_ms=HOUR_MS) == whole.run(until_ms=HOUR_MS)


def test_a_site_that_is_there_at_night_alone_still_counts_and_nobody_waits_for_it() -> None:
    count = Count()
    nights = tuple((hour * HOUR_MS, hour * HOUR_MS + 60_000) for hour in range(0, 48, 2))
    late = SiteSpec("late", train_ms=1_000, windows=nights)
    plan = plan_of(goal=2, versions=40)
    steady = sites_of(3, train_ms=200_000)
    outcome = World(plan, [*steady, late], seed=5, observers=[count]).run(until_ms=48 * HOUR_MS)
    assert outcome.version == 40
    assert any(site == "late" for site, _ in count.counted)
    assert max(
        later - earlier for (_, earlier), (_, later) in zip(count.versions, count.versions[1:], strict=False)
    ) < (HOUR_MS)


def test_a_site_that_has_nobody_to_train_on_measures_versions_and_sends_no_update() -> None:
    count = Count()
    judge = SiteSpec("judge", train_ms=500, judges=True)
    world = World(plan_of(goal=2, versions=5), [*sites_of(2), judge], seed=6, observers=[count])
    assert world.run(until_ms=HOUR_MS).version == 5
    assert {site for site, _ in count.counted} == {"site-0", "site-1"}
    assert count.trained["judge"] == 0
    assert world.sites["judge"].store.now.evaluated == 5


def test_a_slow_uplink_takes_the_time_that_its_rate_says() -> None:
    plan = plan_of(goal=1, versions=1, parameters=250_000)
    slow = SiteSpec("slow", train_ms=1_000, spread=0.0, up_bytes_s=10_000, down_bytes_s=1e9, latency_ms=0)
    count = Count()
    World(plan, [slow], seed=1, observers=[count]).run(until_ms=HOUR_MS)
    assert 100_000 <= count.versions[1][1] <= 105_000
    assert count.bytes["slow", "up"] >= 1_000_000


def test_repro_a_pause_that_ends_before_a_fetched_body_is_heard_of_ends_no_coordinator() -> None:
    """Both commands, and the body, come while a version is being made."""
    costs = Costs(step_ms=1_500, coordinator_bytes_s=800)
    world = World(plan_of(goal=1, versions=8), sites_of(3, train_ms=1_000), seed=1, costs=costs)
    while not world.final and world.clock.now_ms < HOUR_MS:
        for action, waited_ms in ((Action.PAUSE, 1_700), (Action.RESUME, 50)):
            world.run(until_ms=world.clock.now_ms + waited_ms)
            world.command(action)
    assert world.version == 8


def test_old_versions_leave_the_log_however_short_the_lives_of_its_coordinators_are() -> None:
    plan = plan_of(goal=1, versions=9)
    world = World(plan, sites_of(1), seed=1)
    for version in range(plan.stop.versions + 1):
        world.run(until_version=version, until_ms=HOUR_MS)
        (coordinator,) = world.coordinators.values()
        coordinator.ended(KILLED)
    world.run(until_ms=HOUR_MS)
    assert world.version == plan.stop.versions
    assert world.log.models.end - world.log.models.start == plan.storage.versions_kept


def test_sites_that_learn_reach_the_mean_of_what_they_want() -> None:
    wanted = {"site-0": 0.1, "site-1": 0.2, "site-2": 0.6}

    def train(site: str, base: Floats) -> Floats:
        return np.full_like(base, 0.5 * (wanted[site] - float(base[0])) / len(base) ** 0.5)

    def measure(site: str, model: Floats) -> tuple[int, int]:
        return round(1e6 * float(model[0])), 1

    plan = plan_of(goal=3, versions=60)
    learner = Learner(np.zeros(plan.parameters, np.float32), train, measure)
    world = World(plan, sites_of(3), seed=1, learner=learner)
    assert world.run(until_ms=10 * HOUR_MS).version == 60
    model = world.model()
    assert model is not None
    assert model.vector is not None
    assert abs(float(model.vector[0]) - 0.3) < 0.02
