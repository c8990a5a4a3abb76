"""What a site does next, example by example."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.stage import Fate
from participant.core.study import ABSENCE_MS
from participant.core.undecided import UNDECIDED_MAX
from schemas.records import Outcome
from tests.participant.driving import FIRST, FRESH, Driver, plan, receipt
from tests.schemas.plans import WEIGHTS

STALENESS_MAX = len(WEIGHTS) - 1


def test_an_update_goes_from_announcement_to_receipt() -> None:
    site = Driver(plan(every=1), restored=FRESH)
    assert site.join() == [do.Fetch(0)]
    assert site.shown() is State.FETCHING
    assert site.tell(seen.Fetched(0)) == [do.Evaluate(0)]
    assert site.tell(seen.Evaluated(0)) == [do.Train(0, 0)]
    assert site.shown() is State.TRAINING
    assert site.tell(seen.Trained(0)) == [do.Seal(0, stands_for=1.0)]
    assert site.tell(seen.Sealed(0, FIRST)) == [do.Send(FIRST, anew=False)]
    assert site.shown() is State.SENDING
    assert site.tell(seen.Sent(FIRST, 7)) == []
    assert site.shown() is State.WAITING
    counted = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert counted == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.shown() is State.IDLE


def test_a_site_that_comes_late_fetches_the_newest_version_alone() -> None:
    site = Driver()
    site.tell(seen.Held(""), seen.Announced(4, False), seen.Announced(5, False))
    assert site.shown() is State.AWAY
    assert site.tell(seen.Linked(True)) == [do.Fetch(5)]


def test_what_is_off_the_evaluation_rule_is_trained_at_once() -> None:
    site = Driver(plan(every=3))
    assert site.join(3) == [do.Fetch(3)]
    assert site.tell(seen.Fetched(3)) == [do.Evaluate(3)]
    late = Driver(plan(every=3))
    late.join(4)
    assert late.tell(seen.Fetched(4)) == [do.Train(4, 0)]


def test_a_base_version_is_trained_from_once() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.announce(0) == []
    assert site.core.wake_ms is None


def test_over_a_slow_link_a_version_that_was_fetched_is_trained_from_though_a_newer_one_is_out() -> None:
    site = Driver(plan(every=1), restored=FRESH)
    site.join()
    assert site.announce(1) == []
    assert site.tell(seen.Fetched(0)) == [do.Evaluate(0)]
    assert site.announce(2) == []
    assert site.tell(seen.Evaluated(0)) == [do.Train(0, 0)]
    assert do.Fetch(2) in site.seal(0)


def test_over_a_link_that_flaps_a_fetch_goes_on_though_newer_versions_come() -> None:
    site = Driver()
    site.join()
    for version in range(1, 4):
        site.tell(seen.Linked(False))
        site.now_ms += 60_000
        site.announce(version)
        assert site.tell(seen.Linked(True)) == []
        site.now_ms += 60_000
    assert site.tell(seen.Fetched(0)) == [do.Train(0, 0)]


def test_after_a_long_absence_the_newest_version_is_fetched_instead_of_the_one_begun() -> None:
    site = Driver()
    site.join()
    site.announce(3)
    assert site.tell(seen.Linked(False)) == []
    assert site.shown() is State.AWAY
    site.now_ms += ABSENCE_MS
    assert site.tell(seen.Linked(True)) == [do.StopFetching(0), do.Fetch(3)]
    assert site.tell(seen.Fetched(0)) == []


def test_training_goes_on_without_a_link_and_the_update_is_sent_when_it_is_back() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.Linked(False))
    assert site.shown() is State.TRAINING
    assert do.Send(FIRST, anew=False) in site.seal(0)
    assert site.shown() is State.AWAY
    site.tell(seen.Linked(True))
    assert site.shown() is State.SENDING


def test_one_finished_update_at_most_waits_unsent() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.announce(1) == []
    assert site.send() == []
    decided = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert decided == [do.Settle(FIRST, Fate.COUNTED), do.Fetch(1)]


def test_a_place_that_a_receipt_frees_goes_to_the_version_announced_with_it() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.announce(1) == []  # skipped: the outbox is full
    counted = seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))
    effects = site.core.on_all([counted, seen.Announced(2, False)], site.now_ms)
    assert [effect for effect in effects if isinstance(effect, do.Fetch)] == [do.Fetch(2)]


def test_a_bounded_number_of_updates_waits_for_receipts() -> None:
    site = Driver()
    site.join()
    for version in range(UNDECIDED_MAX):
        site.announce(version)
        site.offer(version)
    assert site.announce(UNDECIDED_MAX) == []
    settled = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert settled == [do.Settle(FIRST, Fate.COUNTED), do.Fetch(UNDECIDED_MAX)]


def test_training_past_the_plans_table_is_stopped_and_the_newest_version_taken() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.announce(STALENESS_MAX) == []
    assert site.announce(STALENESS_MAX + 1) == [do.StopWork(), do.Fetch(STALENESS_MAX + 1)]
