"""When a cohort closes and who is in it: deadline, minimum, floors, failed rounds, a coordinator that dies."""

from coordinator.core.events import Add, BodyReady, Close, Fetch, Remove
from coordinator.strategies.suspicion import HOLD_MS
from schemas.records import Outcome
from tests.coordinator.driver import Driver
from tests.coordinator.log import Ending
from tests.coordinator.plans import TABLE, plan_of

SITES = ("a", "b", "c", "d", "e")


# -- rounds


def test_the_effects_of_a_full_cohort_are_fetch_add_close_in_this_order() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    offer = driver.offer("a")
    assert driver.on(offer) == [Fetch(offer, 1)]
    driver.position["a"] = 1
    driver.spooled.add(("a", 0))
    driver.fetching.clear()
    add, close = driver.on(BodyReady("a", 0, 1))
    assert add == Add(offer, 16)
    assert isinstance(close, Close)
    assert close.sum_w == 16


def test_synchronous_fedavg_takes_the_minimum_at_the_deadline_and_never_before() -> None:
    driver = Driver(plan_of(goal=4, minimum=2, deadline_ms=5000), SITES)
    driver.send("a")
    driver.wait(6000)
    assert not driver.log.closes
    driver.send("b")
    assert [len(close.entries) for close in driver.log.closes] == [2]
    driver.send("c")
    driver.send("d")
    driver.wait(4999)
    assert len(driver.log.closes) == 1
    driver.wait(1)
    assert [len(close.entries) for close in driver.log.closes] == [2, 2]


def test_without_a_deadline_only_the_goal_closes_a_cohort() -> None:
    driver = Driver(plan_of(goal=3), SITES)
    driver.send("a")
    driver.send("b")
    driver.wait(10**9)
    assert not driver.log.closes


def test_more_than_the_goal_waits_for_the_next_version() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    for site in SITES:
        driver.offer(site)
    driver.read_all()
    driver.fetch_all()
    assert [len(close.entries) for close in driver.log.closes] == [2, 2]
    assert [entry.weight for entry in driver.log.closes[1].entries] == [TABLE[1]] * 2
    assert len(driver.sum) == 1


def test_fedasync_makes_a_version_of_every_update() -> None:
    driver = Driver(plan_of(goal=1), SITES)
    for site in SITES:
        driver.offer(site)
    driver.read_all()
    driver.fetch_all()
    assert [close.entries[0].weight for close in driver.log.closes] == [16, 11, 9, 8]
    driver.flush()
    assert [receipt.code for receipt in driver.log.receipts.values() if receipt.outcome == Outcome.REFUSED] == ["stale"]


def test_a_failed_round_voids_its_cohort_and_the_sites_may_offer_again() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.ending = Ending.FAIL
    driver.send("b")
    assert [driver.log.receipts[site].outcome for site in ("a", "b")] == [Outcome.VOID, Outcome.VOID]
    assert driver.log.version == 0
    driver.offer_again("a", 0)
    driver.read_all("a")
    assert not driver.fetching
    driver.send("a")
    driver.send("b")
    driver.wait(HOLD_MS)
    driver.fetch_all()
    assert driver.counted() == {("a", 1): 1, ("b", 1): 1}


def test_a_failed_round_goes_on_with_what_stood_behind_it() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    for site in ("a", "b"):
        driver.offer(site)
        driver.offer(site)
    driver.ending = Ending.FAIL
    driver.read_all()
    driver.fetch_all()
    driver.wait(HOLD_MS)
    driver.fetch_all()
    assert driver.counted() == {("a", 1): 1, ("b", 1): 1}


def test_while_a_version_is_written_nothing_enters_the_sum_and_everything_is_heard() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.ending = Ending.LATER
    driver.send("b")
    for site in ("c", "d", "e", "a"):
        driver.send(site)
    driver.send("a", plan=b"\x01" * 32)
    assert driver.closing is not None
    assert set(driver.sum) == {("a", 0), ("b", 0)}
    driver.wait(10**6)
    driver.end_round()
    driver.fetch_all()
    assert [len(close.entries) for close in driver.log.closes] == [2, 2, 2]
    assert driver.counted() == {(site, 0): 1 for site in SITES} | {("a", 1): 1}


def test_who_leaves_while_a_version_is_written_is_still_counted_in_it() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.ending = Ending.LATER
    driver.send("b")
    driver.offer("b")
    driver.read_all("b")
    driver.change_members(["a", "c"])
    driver.end_round()
    assert driver.counted() == {("a", 0): 1, ("b", 0): 1}
    driver.flush()
    assert (driver.log.receipts["b"].outcome, driver.log.receipts["b"].code) == (Outcome.REFUSED, "stranger")


def test_a_coordinator_that_dies_before_the_commit_leaves_the_offers_to_its_successor() -> None:
    driver = Driver(plan_of(goal=2), SITES)
    driver.send("a")
    driver.ending = Ending.DIE
    driver.send("b")
    assert not driver.log.receipts
    driver.settle()
    assert driver.counted() == {("a", 0): 1, ("b", 0): 1}


# -- floors


def test_an_update_whose_floor_is_above_what_waits_is_not_even_fetched() -> None:
    driver = Driver(plan_of(goal=4, minimum=1, deadline_ms=1000), SITES)
    driver.send("a", cohort_min=3)
    driver.send("b", cohort_min=3)
    assert not driver.sum
    driver.send("c", cohort_min=2)
    assert len(driver.sum) == 3


def test_at_the_deadline_the_cohort_is_the_largest_set_within_every_floor() -> None:
    driver = Driver(plan_of(goal=5, minimum=2, deadline_ms=1000), SITES)
    driver.send("a", cohort_min=4)
    driver.send("b", cohort_min=1)
    driver.send("c", cohort_min=2)
    driver.wait(1000)
    assert [entry.site for entry in driver.log.closes[0].entries] == ["b", "c"]
    assert "a" in driver.core.waiting()


def test_a_member_whose_floor_is_no_longer_met_is_taken_out_again_and_waits() -> None:
    driver = Driver(plan_of(goal=5, minimum=2, deadline_ms=1000), SITES)
    for site, floor in (("a", 4), ("b", 1), ("c", 1), ("d", 1)):
        driver.send(site, cohort_min=floor)
    assert len(driver.sum) == 4
    driver.change_members(["a", "b", "c", "e"])
    driver.wait(1000)
    assert any(
        isinstance(effect, Remove) and effect.offer.site == "a" for _, _, found in driver.heard for effect in found
    )
    assert [entry.site for entry in driver.log.closes[0].entries] == ["b", "c"]
    for site in ("b", "c", "e"):
        driver.send(site)
    driver.fetch_all()
    driver.wait(1000)
    assert next((entry.site, entry.weight) for entry in driver.log.closes[1].entries) == ("a", TABLE[1])


def test_a_set_below_the_minimum_is_not_drawn() -> None:
    driver = Driver(plan_of(goal=4, minimum=2, deadline_ms=1000), SITES)
    for site in ("a", "b", "c"):
        driver.send(site, cohort_min=3)
    driver.change_members(["a", "b"])
    driver.wait(5000)
    assert not driver.log.closes
