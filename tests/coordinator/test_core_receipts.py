"""Every answer an offer can get: which receipt, with which code, and what the site may do next."""

from typing import Any

import pytest

from coordinator.core.events import BodyReady, Drop, Ignored
from schemas.records import RECENT_MAX, Outcome, Receipt
from tests.coordinator.driver import Driver
from tests.coordinator.log import Body, model_digest
from tests.coordinator.plans import TABLE, plan_of

SITES = ("a", "b", "c", "d", "e")


def driver_at(version: int, *, goal: int = 1, sites: tuple[str, ...] = SITES, **rules: Any) -> Driver:
    """A study that the last of its sites has brought to `version` (goal 1)."""
    driver = Driver(plan_of(goal=goal, **rules), sites)
    while driver.log.version < version:
        for site in sites[-goal:]:
            driver.send(site)
    return driver


def answer(driver: Driver, site: str) -> tuple[int, str | None]:
    driver.flush()
    receipt = driver.log.receipts[site]
    return receipt.outcome, receipt.code


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"plan": b"\x01" * 32}, "plan"),
        ({"base": 7}, "malformed"),
        ({"base_digest": b"\x02" * 32}, "malformed"),
        ({"base_digest": model_digest(5)}, "malformed"),
        ({"d": 99}, "malformed"),
        ({"d": 101}, "malformed"),
        ({"size_bytes": 399}, "malformed"),
        ({"size_bytes": 0}, "malformed"),
        ({"trustees": 2}, "trustees"),
        ({"base": 2, "base_digest": model_digest(2)}, "stale"),
        ({"base": 0, "base_digest": b"\x02" * 32}, "stale"),
        ({"cohort_min": 3}, "floor"),
        ({"cohort_min": 1024}, "floor"),
        ({"code": "malformed"}, "malformed"),
        ({"code": "epoch"}, "epoch"),
        ({"plan": b"\x01" * 32, "base": 99, "d": 1}, "plan"),
    ],
)
def test_an_unusable_offer_is_refused_with_its_code_and_its_body_is_never_fetched(
    wrong: dict[str, Any], code: str
) -> None:
    driver = driver_at(6, goal=2)
    offer = driver.offer("a", **wrong)
    driver.read_all("a")
    assert answer(driver, "a") == (Outcome.REFUSED, code)
    assert driver.log.receipts["a"].next_offset == offer.offset + 1
    assert not driver.fetching


def test_a_floor_below_the_plans_is_refused() -> None:
    driver = Driver(plan_of(goal=3, floor=3), SITES)
    driver.send("a", cohort_min=2)
    assert answer(driver, "a") == (Outcome.REFUSED, "floor")


@pytest.mark.parametrize("late", range(len(TABLE)))
def test_a_late_update_counts_with_the_weight_of_its_staleness(late: int) -> None:
    driver = driver_at(4)
    driver.send("a", base=4 - late)
    close = driver.log.closes[-1]
    assert [(entry.site, entry.weight) for entry in close.entries] == [("a", TABLE[late])]
    receipt = driver.log.receipts["a"]
    assert (receipt.outcome, receipt.version, receipt.weight) == (Outcome.COUNTED, 5, TABLE[late])


def test_one_version_past_the_table_is_stale() -> None:
    driver = driver_at(4)
    driver.send("a", base=0)
    assert answer(driver, "a") == (Outcome.REFUSED, "stale")


def test_the_model_a_restarted_coordinator_remembers_reaches_as_far_as_the_table() -> None:
    driver = driver_at(4)
    driver.crash()
    driver.send("a", base=1)
    assert answer(driver, "a") == (Outcome.COUNTED, None)


def test_an_update_that_waits_ages_and_is_refused_when_the_table_ends() -> None:
    driver = Driver(plan_of(goal=4, minimum=1, deadline_ms=1000), SITES)
    driver.send("a", cohort_min=4)
    for version in range(len(TABLE)):
        assert driver.log.version == version
        assert "a" in driver.core.waiting()
        driver.send("b")
        driver.wait(1000)
    assert answer(driver, "a") == (Outcome.REFUSED, "stale")
    assert driver.undecided() == {}


def test_who_is_on_no_roster_is_a_stranger() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.change_members(["b"])
    driver.send("a")
    assert answer(driver, "a") == (Outcome.REFUSED, "stranger")


def test_before_the_roster_is_known_nobody_counts() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.change_members([])
    driver.send("a")
    assert not driver.log.closes


def test_who_leaves_is_taken_out_of_the_sum_and_the_others_go_on() -> None:
    driver = Driver(plan_of(goal=3), SITES)
    driver.send("a")
    driver.send("b")
    driver.offer("b")
    driver.read_all("b")
    driver.change_members(["a", "c", "d"])
    assert answer(driver, "b") == (Outcome.REFUSED, "stranger")
    assert [past.code for past in driver.log.receipts["b"].recent] == ["revoked", "stranger"]
    assert set(driver.sum) == {("a", 0)}
    driver.send("c")
    driver.send("d")
    assert [entry.site for entry in driver.log.closes[-1].entries] == ["a", "c", "d"]


def test_who_leaves_while_its_body_is_fetched_is_dropped() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.offer("a")
    driver.read_all("a")
    driver.change_members(["b"])
    assert not driver.fetching
    assert driver.on(BodyReady("a", 0, 1)) == []
    assert answer(driver, "a") == (Outcome.REFUSED, "revoked")


def test_who_comes_back_may_offer_again() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.change_members(["b"])
    driver.send("a")
    driver.change_members(["a", "b"])
    driver.send("a")
    assert driver.counted() == {("a", 1): 1}


def test_a_body_out_of_range_is_refused_and_the_next_update_counts() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", body=Body.OUTSIDE)
    assert answer(driver, "a") == (Outcome.REFUSED, "range")
    driver.send("a")
    assert driver.counted() == {("a", 1): 1}


def test_what_is_offered_after_the_end_is_refused_as_final_by_a_successor_too() -> None:
    driver = Driver(plan_of(goal=2, versions=1), SITES)
    for site in ("a", "b", "c"):
        driver.offer(site)
    driver.read_all()
    driver.fetch_all()
    assert answer(driver, "c") == (Outcome.REFUSED, "final")
    driver.send("d")
    assert answer(driver, "d") == (Outcome.REFUSED, "final")
    driver.crash()
    driver.send("e")
    assert answer(driver, "e") == (Outcome.REFUSED, "final")
    assert len(driver.log.closes) == 1


def test_after_the_end_a_better_reason_is_still_given() -> None:
    driver = Driver(plan_of(goal=1, versions=1), SITES)
    driver.send("a")
    driver.send("b", plan=b"\x01" * 32)
    assert answer(driver, "b") == (Outcome.REFUSED, "plan")


# -- again


def test_a_body_that_is_gone_is_asked_for_again_and_counts_when_it_is_resent() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    offer = driver.send("a", body=Body.GONE)
    assert answer(driver, "a") == (Outcome.AGAIN, None)
    assert driver.log.receipts["a"].next_offset == offer.offset + 1
    driver.offer_again("a", offer.sequence)
    driver.read_all("a")
    driver.fetch_all()
    assert driver.counted() == {("a", 0): 1}
    assert [past.outcome for past in driver.log.receipts["a"].recent] == [Outcome.COUNTED]


def test_again_lets_the_next_update_of_the_site_pass() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.offer("a", body=Body.GONE)
    driver.offer("a")
    driver.read_all("a")
    driver.fetch_all()
    assert set(driver.sum) == {("a", 1)}


def test_a_body_that_is_gone_a_third_time_is_refused_as_malformed() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", body=Body.GONE)
    for outcome in (Outcome.AGAIN, Outcome.REFUSED):
        driver.offer_again("a", 0, body=Body.GONE)
        driver.read_all("a")
        driver.fetch_all()
        assert answer(driver, "a")[0] == outcome
    assert answer(driver, "a") == (Outcome.REFUSED, "malformed")
    driver.offer_again("a", 0)
    driver.read_all("a")
    assert isinstance(driver.core.on(driver.ignored[-1], driver.now_ms)[0], Ignored)


def test_again_survives_a_crash_and_so_does_the_place_to_read_on() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", body=Body.GONE)
    driver.flush()
    driver.crash()
    driver.read_all("a")
    assert not driver.fetching
    driver.offer_again("a", 0)
    driver.read_all("a")
    driver.fetch_all()
    assert driver.counted() == {("a", 0): 1}


def test_an_again_that_was_not_committed_is_said_again_by_the_successor() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", body=Body.GONE)
    driver.crash()
    driver.read_all("a")
    driver.fetch_all()
    assert answer(driver, "a") == (Outcome.AGAIN, None)


def test_an_again_that_a_later_update_overtook_is_refused_as_duplicate() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", body=Body.GONE)
    driver.send("a")
    receipt = driver.log.receipts["a"]
    assert [(past.sequence, past.outcome, past.code) for past in receipt.recent] == [
        (0, Outcome.REFUSED, "duplicate"),
        (1, Outcome.COUNTED, None),
    ]
    for _ in range(2):
        driver.offer_again("a", 0)
        driver.read_all("a")
        driver.fetch_all()
        driver.crash()
    assert driver.counted() == {("a", 1): 1}


def test_however_often_a_site_is_asked_again_a_successor_knows_what_was_counted() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a")
    for _ in range(RECENT_MAX + 3):
        driver.send("a", body=Body.GONE)
        driver.flush()
    driver.crash()
    driver.offer_again("a", 0)
    driver.read_all("a")
    driver.fetch_all()
    assert driver.counted() == {("a", 0): 1}


# -- repetition and order


def test_the_same_offer_delivered_twice_is_fetched_and_counted_once() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.redeliver("a", 0)
    driver.offer_again("a", 0)
    driver.read_all("a")
    assert (len(driver.ignored), driver.fetching, dict(driver.sum)) == (2, {}, {("a", 0): 16})
    driver.send("b")
    driver.redeliver("a", 0)
    driver.redeliver("a", 1)
    assert len(driver.log.closes) == 1
    assert driver.undecided() == {}


def test_one_update_of_a_site_is_in_a_cohort_and_the_next_waits_for_the_next() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.send("a")
    assert set(driver.sum) == {("a", 0)}
    driver.send("b")
    assert set(driver.sum) == {("a", 1)}


def test_a_sequence_below_a_decided_one_is_ignored_and_one_below_a_waiting_one_is_overtaken() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.send("a", sequence=5)
    driver.send("a", sequence=4)
    driver.offer("a", sequence=9)
    driver.offer("a", sequence=8)
    driver.read_all("a")
    driver.fetch_all()
    assert driver.counted() == {("a", 5): 1, ("a", 9): 1}


def test_a_study_is_decided_without_ever_skipping_records_of_another_kind() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    driver.presence("a")
    driver.send("a")
    driver.presence("a")
    assert driver.log.receipts["a"].next_offset == 2


# -- the site's memory


def test_a_receipt_keeps_the_last_eight_outcomes_and_the_position() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    for _ in range(12):
        driver.send("a")
    receipt = driver.log.receipts["a"]
    assert [past.sequence for past in receipt.recent] == list(range(4, 12))
    assert receipt.next_offset == 12
    assert Receipt.from_bytes(receipt.to_bytes()) == receipt


def test_a_refused_offers_memory_is_freed() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    offer = driver.offer("a", d=3)
    assert driver.on(offer)[0] == Drop(offer)
