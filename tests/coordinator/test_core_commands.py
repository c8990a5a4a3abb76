"""What an operator's commands do to a study, and that a successor does the same."""

from dataclasses import replace

import pytest

from coordinator.core.events import (
    BodyReady,
    BodyUnusable,
    Commanded,
    Committed,
    Fetch,
    Ignored,
    OffersAnew,
    SitesChanged,
    Stepped,
    Unload,
)
from coordinator.core.study import StudyCore
from protocol.orders import Orders
from schemas.records import Action, Command, Outcome, Stop
from tests.coordinator.driver import Driver
from tests.coordinator.log import Ending, model_digest
from tests.coordinator.plans import plan_of

SITES = ("a", "b", "c")
again = pytest.mark.parametrize("crash", [False, True], ids=["the same leader", "a successor"])


def succeed(driver: Driver, crash: bool) -> None:
    """The leader dies and another one reads the log from where the receipts say, or nothing happens."""
    if crash:
        driver.crash()
        driver.read_all()
        driver.fetch_all()


@again
def test_a_paused_study_makes_no_version_and_goes_on_where_it_was(crash: bool) -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.command(Action.PAUSE)
    driver.send("b")
    succeed(driver, crash)
    driver.wait(10**6)
    assert not driver.log.closes
    assert not driver.fetching
    driver.command(Action.RESUME)
    driver.fetch_all()
    assert driver.counted() == {("a", 0): 1, ("b", 0): 1}


def test_a_pause_keeps_no_body_in_memory_that_is_not_in_the_sum() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.offer("a")
    driver.read_all()
    assert driver.fetching
    driver.command(Action.PAUSE)
    assert any(isinstance(effect, Unload) for _, _, effects in driver.heard for effect in effects)
    assert not driver.fetching
    assert not driver.spooled


@pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "still paused"])
@pytest.mark.parametrize("late", [BodyReady("a", 0, 1), BodyUnusable("a", 0, None, 1)])
def test_repro_what_a_fetch_says_after_a_pause_is_not_taken_for_the_word_of_the_next(
    late: BodyReady | BodyUnusable, resumed: bool
) -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.offer("a")
    driver.read_all()
    driver.command(Action.PAUSE)
    if resumed:
        driver.command(Action.RESUME)
    assert driver.on(late) == []
    driver.command(Action.RESUME)
    driver.fetch_all()
    assert driver.sum == {("a", 0): 16}


def test_what_is_plainly_wrong_is_refused_during_a_pause_too() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.command(Action.PAUSE)
    driver.offer("a", d=7)
    driver.read_all()
    driver.flush()
    assert driver.log.receipts["a"].code == "malformed"


def test_the_time_of_a_pause_counts_towards_no_deadline() -> None:
    driver = Driver(plan_of(goal=3, minimum=1, deadline_ms=5000), SITES)
    driver.send("a")
    driver.wait(4000)
    driver.command(Action.PAUSE)
    driver.wait(60_000)
    driver.command(Action.RESUME)
    assert not driver.log.closes
    driver.wait(1000)
    assert len(driver.log.closes) == 1


def test_a_pause_during_the_last_step_of_a_round_lets_it_end_and_no_other_begin() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.ending = Ending.LATER
    driver.send("a")
    driver.command(Action.PAUSE)
    driver.send("b")
    driver.end_round()
    assert [close.version for close in driver.log.closes] == [1]


@again
def test_an_excluded_site_is_refused_by_name_until_it_is_included(crash: bool) -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.command(Action.EXCLUDE, site="a")
    driver.flush()
    assert (driver.log.receipts["a"].outcome, driver.log.receipts["a"].code) == (Outcome.REFUSED, "excluded")
    succeed(driver, crash)
    driver.send("a")
    driver.send("b")
    driver.send("c")
    assert driver.counted() == {("b", 0): 1, ("c", 0): 1}
    driver.command(Action.INCLUDE, site="a")
    driver.send("a")
    driver.send("b")
    assert driver.counted()["a", 2] == 1


def test_what_an_excluded_site_measured_ends_no_study() -> None:
    driver = Driver(plan_of(goal=1, target=0.9), SITES)
    driver.evaluate("a", 0.95)
    driver.evaluate("b", 0.95)
    driver.command(Action.EXCLUDE, site="a")
    driver.evaluate("a", 0.96)
    driver.send("b")
    assert [site for site, _ in driver.log.closes[0].evaluations] == ["b"]
    assert driver.log.stop is Stop.NONE


@again
def test_closing_a_round_takes_the_minimum_and_no_later_round(crash: bool) -> None:
    driver = Driver(plan_of(goal=3, minimum=2, deadline_ms=10**6), SITES)
    driver.send("a")
    driver.command(Action.CLOSE, version=0)
    assert not driver.log.closes, "the minimum is not there yet"
    succeed(driver, crash)
    driver.send("b")
    assert [len(close.entries) for close in driver.log.closes] == [2]
    succeed(driver, crash)
    driver.send("a")
    driver.send("b")
    assert len(driver.log.closes) == 1


@again
def test_a_stop_is_for_good_also_while_the_study_is_paused(crash: bool) -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.command(Action.PAUSE)
    driver.command(Action.STOP)
    succeed(driver, crash)
    driver.flush()
    assert driver.log.stop is Stop.OPERATOR
    assert {code for _, code in driver.log.decided.values()} <= {"final"}
    driver.command(Action.RESUME)
    driver.send("b")
    driver.send("c")
    assert not driver.log.closes


def test_a_stop_waits_for_the_version_that_is_being_written() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.ending = Ending.LATER
    driver.send("a")
    driver.command(Action.STOP)
    assert driver.log.stop is Stop.NONE
    driver.end_round()
    assert (driver.log.version, driver.log.stop) == (1, Stop.OPERATOR)


def test_commands_told_twice_change_nothing() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.command(Action.EXCLUDE, site="a")
    assert driver.on(Commanded(tuple(driver.log.commands))) == []


def test_orders_are_read_in_the_order_of_their_serials() -> None:
    def orders(*acts: tuple[Action, str | None]) -> Orders:
        return Orders.of(Command("s", serial, act, site, None, "") for serial, (act, site) in enumerate(acts))

    assert orders((Action.PAUSE, None), (Action.START, None)) == Orders()
    assert orders((Action.RESUME, None), (Action.PAUSE, None)).paused
    assert orders((Action.EXCLUDE, "a"), (Action.EXCLUDE, "b"), (Action.INCLUDE, "a")).excluded == {"b"}
    assert orders((Action.STOP, None), (Action.RESUME, None)).stopped


def test_a_sites_topic_made_anew_is_heard_from_its_first_offset_and_counts_nothing_twice() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    old = driver.send("a")
    assert driver.on(OffersAnew("a")) == []
    assert driver.on(old) == [Ignored(old)]
    fresh = replace(old, sequence=1, base_version=1, base_digest=model_digest(1))
    assert driver.core.on(fresh, driver.now_ms) == [Fetch(fresh, 2)]


def test_an_offer_that_waits_while_its_topic_is_made_anew_counts_and_hides_nothing_of_the_new_one() -> None:
    source = Driver(plan_of(goal=2), SITES)
    core = StudyCore(source.plan, version=0, models={0: model_digest(0)}, now_ms=0)
    core.on(SitesChanged(frozenset(SITES)), 0)
    waiting, other = replace(source.offer("a"), offset=500), source.offer("b")
    first, second = BodyReady("a", waiting.sequence, 1), BodyReady("b", other.sequence, 2)
    for fact in (waiting, first, OffersAnew("a"), other, second):
        core.on(fact, 0)
    core.on(Stepped(), 0)
    core.on(Committed(1, model_digest(1)), 0)
    assert (core.next_offset("a"), core.next_offset("b")) == (0, other.offset + 1)
    fresh = replace(waiting, offset=1, sequence=waiting.sequence + 1, base_version=1, base_digest=model_digest(1))
    assert core.on(fresh, 0) == [Fetch(fresh, 3)]
