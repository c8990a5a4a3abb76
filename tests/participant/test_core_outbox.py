"""A site's finished updates, from the first upload to the receipt: what waits, what goes up again, what is given up."""

import pytest

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.outbox import GRACE_MS, PASSED_BY, REMIND_MS, SOON_MS
from participant.core.restored import Restored
from participant.core.stage import Fate
from schemas.records import Outcome
from tests.participant.driving import FIRST, Driver, receipt
from tests.schemas.plans import WEIGHTS

STALENESS_MAX = len(WEIGHTS) - 1


def test_an_unsent_update_past_the_plans_table_is_dropped() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.announce(STALENESS_MAX + 1) == []
    assert site.wait() == [do.StopSending(FIRST), do.Settle(FIRST, Fate.STALE), do.Fetch(STALENESS_MAX + 1)]


def test_repro_an_update_whose_acknowledgement_is_late_is_not_given_up_before_its_receipt() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    site.announce(STALENESS_MAX + 1)
    site.tell(seen.Linked(False))
    site.now_ms += 10 * GRACE_MS
    assert site.tell(seen.Linked(True)) == []
    counted = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert counted == [do.StopSending(FIRST), do.Settle(FIRST, Fate.COUNTED), do.Fetch(STALENESS_MAX + 1)]


def test_repro_what_is_asked_for_again_was_offered_although_a_kill_took_its_acknowledgement() -> None:
    restored = Restored(entries=((FIRST, 0, -1),), trained={0: FIRST}, sequence_next=FIRST + 1, evaluated=0)
    site = Driver(restored=restored)
    asked = seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN, next_offset=1))
    told = site.core.on_all([seen.Held(""), seen.Linked(True), seen.Announced(STALENESS_MAX + 1, False), asked], 0)
    assert do.Send(FIRST, anew=True) in told
    site.now_ms += 10 * GRACE_MS
    assert site.tell(seen.Tick()) == []


def test_repro_an_again_that_is_read_while_its_update_goes_up_once_more_keeps_it_from_being_given_up() -> None:
    restored = Restored(entries=((FIRST, 0, -1),), trained={0: FIRST}, sequence_next=FIRST + 1, evaluated=0)
    site = Driver(restored=restored)
    assert do.Send(FIRST, anew=False) in site.join()
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN, next_offset=1)))
    site.announce(STALENESS_MAX + 1)
    site.now_ms += 10 * GRACE_MS
    assert site.tell(seen.Tick()) == []
    assert site.send(offset=1) == []


def test_repro_an_again_that_is_read_before_its_offer_is_acknowledged_is_heard() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN, next_offset=5))) == []
    assert site.send(offset=4) == [do.Send(FIRST, anew=True)]
    assert site.send(offset=7) == []


def test_repro_an_offer_that_nobody_answers_is_sent_once_more_however_late() -> None:
    """Retention may have taken it before the coordinator came back to read it."""
    site = Driver()
    site.join()
    site.offer(0)
    site.announce(STALENESS_MAX + 1)
    assert site.wait() == [do.Send(FIRST, anew=False)]
    assert site.now_ms == SOON_MS
    site.send(offset=7)
    assert site.wait() == [do.Send(FIRST, anew=False)]
    assert site.now_ms == SOON_MS + REMIND_MS
    answer = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code="stale")))
    assert answer[:2] == [do.StopSending(FIRST), do.Settle(FIRST, Fate.REFUSED, again=True, code="stale")]


def test_while_no_versions_are_made_an_offer_is_repeated_once_an_hour_alone() -> None:
    """The coordinator may be away: a thousand sites that wait for it must not fill its topics."""
    site = Driver()
    site.join()
    site.offer(0)
    site.announce(PASSED_BY - 1)
    for hour in (1, 2, 3):
        assert site.wait() == [do.Send(FIRST, anew=False)]
        assert site.now_ms == hour * REMIND_MS
        site.send(offset=hour)


def test_repro_an_offer_that_versions_pass_by_is_repeated_soon_and_ever_more_slowly() -> None:
    """Its topics may have been deleted and made anew: an hour's wait kept the site out of hundreds of versions."""
    site = Driver()
    site.join()
    site.offer(0)
    pauses, version = [], 0
    for offset in range(1, 9):
        version += PASSED_BY
        assert site.announce(version) == []
        before_ms = site.now_ms
        assert site.wait() == [do.Send(FIRST, anew=False)]
        pauses.append(site.now_ms - before_ms)
        site.send(offset=offset)
    assert pauses == [SOON_MS, 2 * SOON_MS, 4 * SOON_MS, 8 * SOON_MS, 16 * SOON_MS, 32 * SOON_MS, *[REMIND_MS] * 2]


def test_repro_what_was_offered_before_a_restart_is_offered_once_more_at_once() -> None:
    restored = Restored(entries=((FIRST, 0, 7),), trained={0: FIRST}, sequence_next=FIRST + 1, evaluated=0)
    site = Driver(restored=restored)
    assert site.join() == [do.Send(FIRST, anew=False)]
    site.send(offset=9)
    assert site.wait() == [do.Send(FIRST, anew=False)]
    assert site.now_ms == REMIND_MS


def test_what_was_answered_while_the_site_was_down_is_not_offered_once_more() -> None:
    restored = Restored(entries=((FIRST, 0, 7),), trained={0: FIRST}, sequence_next=FIRST + 1, evaluated=1)
    site = Driver(restored=restored)
    counted = seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))
    told = site.core.on_all([seen.Held(""), seen.Linked(True), seen.Announced(1, False), counted], 0)
    assert not any(isinstance(effect, do.Send) for effect in told)


@pytest.mark.parametrize("code", ["stranger", "revoked"])
def test_repro_a_site_that_the_roster_left_out_for_a_moment_trains_again(code: str) -> None:
    """Where every site is needed for a version, no newer one would ever come."""
    site = Driver()
    site.join()
    site.offer(0)
    site.tell(seen.Held("not listed"))
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code=code)))
    site.tell(seen.Held(""))
    assert site.wait() == [do.Train(0, 1)]


def test_an_offered_update_waits_for_its_receipt_however_late() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.announce(STALENESS_MAX + 9) == []
    decided = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert decided == [do.Settle(FIRST, Fate.COUNTED), do.Fetch(STALENESS_MAX + 9)]


def test_a_void_update_is_trained_again_from_the_same_version_after_a_pause_with_another_seed() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    void = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.VOID, code="range")))
    assert void == [do.Settle(FIRST, Fate.VOID, again=True, code="range")]
    assert site.wait() == [do.Train(0, 1)]


def test_what_training_again_cannot_heal_waits_for_the_next_version() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    refused = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code="floor")))
    assert refused == [do.Settle(FIRST, Fate.REFUSED, again=False, code="floor")]
    assert site.wait() == []
    assert site.announce(1) == [do.Fetch(1)]


def test_refusals_in_a_row_are_answered_more_and_more_slowly() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    pauses = []
    for _ in range(4):
        site.tell(seen.ReceiptRead(receipt(site.sequence, Outcome.REFUSED, code="malformed")))
        before_ms = site.now_ms
        assert isinstance(site.wait()[0], do.Train)
        pauses.append(site.now_ms - before_ms)
        site.seal(0)
        site.send()
    assert pauses == [750, 1500, 3000, 6000]


def test_again_asks_for_the_whole_body_anew_and_keeps_the_update() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN))) == [do.Send(FIRST, anew=True)]
    site.send(offset=100)
    assert site.shown() is State.WAITING
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN))) == []  # the second time after a pause
    assert site.wait() == [do.Send(FIRST, anew=True)]


def test_an_update_asked_for_again_is_sent_even_past_the_table_since_a_request_may_hold_it() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    site.announce(STALENESS_MAX + 1)
    again = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN)))
    assert do.Send(FIRST, anew=True) in again
