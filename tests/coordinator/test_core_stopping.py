"""When a study ends: versions, target, patience, time; what the Announcements list stays what a successor finds."""

from typing import Any

import pytest

from coordinator.core.events import End, Evaluated
from coordinator.strategies.gathering import Gathering, within_floors
from coordinator.strategies.stopping import Progress, stop_after
from protocol.judging import Judgement
from schemas.records import Outcome, Stop
from tests.coordinator.driver import Driver
from tests.coordinator.log import Ending, model_digest
from tests.coordinator.plans import plan_of
from tests.schemas.plans import changed

SITES = ("a", "b", "c")


def run(values: list[float | None], *, crash: bool = False, **stop: Any) -> Driver:
    """One version per value; every site measured it before, None: nobody did."""
    driver = Driver(plan_of(goal=1, **stop), SITES)
    for value in values:
        if value is not None:
            for site in SITES:
                driver.evaluate(site, value)
        driver.send("a")
        if crash:
            driver.crash()
    return driver


def test_it_ends_with_the_planned_number_of_versions() -> None:
    driver = run([None] * 3, versions=3)
    assert driver.log.stop is Stop.VERSIONS
    assert [close.stop for close in driver.log.closes] == [Stop.NONE, Stop.NONE, Stop.VERSIONS]


@pytest.mark.parametrize("crash", [False, True])
def test_it_ends_when_patience_is_spent_also_across_restarts(crash: bool) -> None:
    driver = run([5, 7, 7, 6, None, 3], crash=crash, patience=3)
    assert driver.log.stop is Stop.PATIENCE
    assert [close.patience for close in driver.log.closes] == [0, 0, 1, 2, 2, 3]


def test_progress_resets_patience() -> None:
    driver = run([5, 4, 6, 5], patience=2)
    assert driver.log.stop is Stop.NONE
    assert [close.patience for close in driver.log.closes] == [0, 1, 0, 1]


def test_a_failed_round_costs_no_patience() -> None:
    driver = run([5], patience=3)
    driver.evaluate("a", 4)
    driver.evaluate("b", 4)
    driver.ending = Ending.FAIL
    driver.send("a")
    assert driver.core.progress.patience == 0
    driver.send("b")
    assert [close.patience for close in driver.log.closes] == [0, 1]


def test_it_ends_when_the_target_is_reached() -> None:
    driver = run([0.9, 0.949999, 0.95], target=0.95)
    assert driver.log.stop is Stop.TARGET
    assert len(driver.log.closes) == 3


def test_lower_is_better_where_the_plan_says_so() -> None:
    plan = changed(evaluation={"higher_is_better": False}, stop={"target": 10.0})
    assert stop_after(plan, version=1, progress=Progress(), judgement=Judgement(11)) is Stop.NONE
    assert stop_after(plan, version=1, progress=Progress(), judgement=Judgement(10)) is Stop.TARGET
    assert Progress(10, 2).after(Judgement(9), higher_is_better=False) == Progress(9, 0)
    assert Progress(10, 2).after(Judgement(10), higher_is_better=False) == Progress(10, 3)


def test_when_time_is_up_the_newest_version_becomes_the_last_and_waiting_offers_are_answered() -> None:
    driver = Driver(plan_of(goal=2, time_s=10), SITES)
    driver.send("a")
    driver.offer("b")
    driver.wait(9_999)
    assert not driver.core.final
    driver.wait(1)
    assert driver.log.stop is Stop.TIME
    driver.read_all("b")
    driver.flush()
    assert {site: receipt.code for site, receipt in driver.log.receipts.items()} == {"a": "final", "b": "final"}
    driver.wait(10_000)
    assert sum(isinstance(effect, End) for _, _, effects in driver.heard for effect in effects) == 1


def test_a_study_that_ended_says_nothing_more_after_a_restart() -> None:
    driver = run([None], versions=1)
    driver.crash()
    driver.wait(10**9)
    driver.evaluate("a", 5)
    assert all(not effects for _, _, effects in driver.heard)


def test_an_evaluation_of_another_version_model_or_of_a_stranger_is_not_used() -> None:
    driver = Driver(plan_of(goal=1, patience=5), SITES)
    for site, version, model in (("a", 1, model_digest(1)), ("a", 0, b"\x01" * 32), ("z", 0, model_digest(0))):
        driver.on(Evaluated(site, version, model, b"\x03" * 32, 5, 1))
    driver.send("a")
    assert driver.log.closes[0].evaluations == ()


def test_the_last_evaluation_of_a_site_counts_and_only_for_its_version() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.evaluate("b", 1)
    driver.evaluate("a", 2)
    driver.evaluate("b", 3)
    driver.send("a")
    driver.send("a")
    first, second = driver.log.closes
    assert [site for site, _ in first.evaluations] == ["a", "b"]
    assert second.evaluations == ()


def test_versions_come_before_target_before_patience() -> None:
    plan = changed(stop={"versions": 3, "target": 5.0, "patience": 1})
    spent = Progress(9, 1)
    assert stop_after(plan, version=3, progress=spent, judgement=Judgement(9)) is Stop.VERSIONS
    assert stop_after(plan, version=2, progress=spent, judgement=Judgement(9)) is Stop.TARGET
    assert stop_after(plan, version=2, progress=spent, judgement=Judgement()) is Stop.PATIENCE
    assert stop_after(changed(), version=2, progress=Progress(9, 99), judgement=Judgement(9)) is Stop.NONE


@pytest.mark.parametrize(
    ("ready", "waited_ms", "closes"),
    [(4, 0, True), (3, 999, False), (3, 1000, True), (2, 10**9, False), (5, 0, True)],
)
def test_goal_minimum_and_deadline(ready: int, waited_ms: int, closes: bool) -> None:
    assert Gathering(goal=4, minimum=3, deadline_ms=1000).closes(ready, waited_ms) is closes


@pytest.mark.parametrize(
    ("floors", "chosen"),
    [
        ({}, ""),
        ({"a": 1}, "a"),
        ({"a": 2}, ""),
        ({"a": 3, "b": 2, "c": 2}, "abc"),
        ({"a": 4, "b": 2, "c": 2}, "bc"),
        ({"a": 4, "b": 3, "c": 2}, ""),
        ({"a": 8, "b": 5, "c": 5, "d": 5, "e": 5, "f": 5}, "bcdef"),
    ],
)
def test_the_largest_set_within_its_floors(floors: dict[str, int], chosen: str) -> None:
    assert within_floors(floors) == frozenset(chosen)


def test_final_is_the_answer_whatever_ended_the_study() -> None:
    driver = run([0.9], target=1e-6)
    driver.send("b")
    driver.flush()
    assert (driver.log.receipts["b"].outcome, driver.log.receipts["b"].code) == (Outcome.REFUSED, "final")
