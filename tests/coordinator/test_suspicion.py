"""After failed rounds: a culprit ends up alone among suspects, the others go on, and a successor knows as much."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.core.events import Close, Undone, Wrong
from coordinator.strategies.suspicion import HOLD_MS, WAITS_MAX, Suspect, Suspicion
from schemas.plan import Plan
from schemas.records import Outcome
from tests.coordinator.driver import Driver
from tests.coordinator.log import Ending
from tests.coordinator.plans import plan_of

SITES = tuple("abcdefgh")
some_sites = st.lists(st.sampled_from(SITES), min_size=1, unique=True)


class Saboteur(Driver):
    """A federation in which every round with `culprit` in its cohort fails."""

    culprit = ""

    def _close(self, close: Close) -> None:
        self.ending = Ending.FAIL if self.culprit in {entry.site for entry in close.entries} else Ending.COMMIT
        super()._close(close)


def federation(plan: Plan, culprit: str) -> Saboteur:
    driver = Saboteur(plan, SITES)
    driver.culprit = culprit
    return driver


def everybody_offers(driver: Driver) -> None:
    """Whoever has nothing undecided offers, all is fetched, and time passes."""
    waiting = driver.undecided()
    for site in SITES:
        if site not in waiting:
            driver.offer(site)
    driver.read_all()
    driver.fetch_all()
    driver.wait(HOLD_MS)
    driver.fetch_all()
    driver.flush()


@pytest.mark.parametrize("crash", [False, True], ids=["one leader", "a successor now and then"])
@pytest.mark.parametrize(
    "plan",
    [plan_of(goal=3), plan_of(goal=6), plan_of(goal=8, minimum=4, deadline_ms=5000)],
    ids=["goal 3 of 8", "goal 6 of 8", "all of 8, at the deadline 4"],
)
def test_a_culprit_costs_few_rounds_and_keeps_nobody_else_out(plan: Plan, crash: bool) -> None:
    driver = federation(plan, "c")
    for number in range(80):
        everybody_offers(driver)
        if crash and number % 5 == 4:
            driver.crash()
            driver.read_all()
    assert driver.log.version >= 40
    assert len(driver.log.failed) <= 9, "probes come after 1, 2, 4, 8 … versions"
    assert set(driver.log.suspicion.suspects) == {"c"}
    counted = Counter(site for site, _ in driver.counted())
    assert "c" not in counted
    assert min(counted[site] for site in SITES if site != "c") >= 3


def test_where_everybody_is_needed_a_culprit_stops_the_study_and_its_cohorts_say_so() -> None:
    driver = federation(plan_of(goal=8), "c")
    for _ in range(30):
        everybody_offers(driver)
    assert driver.log.version == 0
    assert len(driver.log.failed) >= 5
    assert driver.log.suspicion.level("c") == len(driver.log.failed)


def test_where_nobody_else_comes_suspects_make_the_version_after_a_while() -> None:
    driver = federation(plan_of(goal=2), "")
    driver.log.suspicion = Suspicion().after_failed(SITES)
    driver.crash()
    driver.send("a")
    driver.send("b")
    driver.wait(HOLD_MS - 1)
    assert driver.log.version == 0
    driver.wait(1)
    driver.fetch_all()
    assert driver.log.version == 1


def test_a_failure_that_no_site_can_cause_suspects_nobody() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.ending = Ending.LATER
    driver.send("a")
    driver.core.on(Wrong("trustee-lost"), driver.now_ms)
    driver.core.on(Undone(), driver.now_ms)
    assert driver.core.suspicion == Suspicion()


@given(st.lists(st.tuples(st.booleans(), some_sites), max_size=30))
def test_suspects_are_those_whose_last_cohort_failed(rounds: list[tuple[bool, list[str]]]) -> None:
    suspicion, last = Suspicion(), dict[str, bool]()
    for counted, sites in rounds:
        suspicion = suspicion.after_counted(sites) if counted else suspicion.after_failed(sites)
        last.update(dict.fromkeys(sites, counted))
    assert set(suspicion.suspects) == {site for site, counted in last.items() if not counted}
    assert all(one.failed >= 1 for one in suspicion.suspects.values())


suspicions = st.dictionaries(
    st.sampled_from(SITES), st.builds(Suspect, st.integers(1, 5), st.integers(0, 20)), max_size=8
).map(Suspicion)
arrivals = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(SITES)), unique_by=lambda one: one[1])


@given(suspicions, arrivals, st.integers(1, 8), st.integers(0, 9))
def test_the_trusted_always_enter_and_suspects_one_by_one_or_as_far_as_they_are_needed(
    suspicion: Suspicion, waiting: list[tuple[int, str]], minimum: int, waited: int
) -> None:
    entered = suspicion.admitted(waiting, (), minimum=minimum, waited=waited)
    trusted = {site for _, site in waiting if suspicion.level(site) == 0}
    suspects = [site for site in entered if suspicion.level(site) > 0]
    assert trusted <= set(entered)
    assert [suspicion.level(site) for site in entered] == sorted(suspicion.level(site) for site in entered)
    assert len(suspects) <= max(1, minimum - len(trusted))
    if waited == 0:
        assert len(suspects) <= 1
        assert all(suspicion.suspects[site].may_be_probed for site in suspects)
    if waited >= WAITS_MAX:
        assert len(entered) >= min(minimum, len(waiting))


@given(suspicions, arrivals)
@settings(max_examples=30)
def test_who_is_less_suspicious_comes_first_and_then_who_came_first(
    suspicion: Suspicion, waiting: list[tuple[int, str]]
) -> None:
    when = {site: arrival for arrival, site in waiting}
    keys = [(suspicion.level(site), when[site]) for site in suspicion.order(waiting)]
    assert keys == sorted(keys)


def test_a_void_update_of_a_failed_round_counts_nowhere() -> None:
    driver = federation(plan_of(goal=2), "a")
    driver.send("a")
    driver.send("b")
    assert {driver.log.decided[site, 0][0] for site in ("a", "b")} == {Outcome.VOID}
