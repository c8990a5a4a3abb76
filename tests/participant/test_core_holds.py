"""A site's core while somebody holds it back: a pause, a leave, data that break the contract, a full outbox."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.restored import Restored
from participant.core.stage import Fate
from schemas.records import Outcome
from tests.participant.driving import FIRST, Driver, receipt

PAUSE, GO_ON = seen.Held("paused by the operator", by=seen.Holder.OPERATOR), seen.Held("", seen.Holder.OPERATOR)


def test_a_pause_stops_training_at_once_and_nothing_new_begins_until_it_ends() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.tell(PAUSE) == [do.StopWork()]
    assert site.shown() is State.PAUSED
    assert site.core.held == "paused by the operator"
    assert site.announce(1) == []
    assert site.tell(GO_ON) == [do.Fetch(1)]


def test_a_pause_stops_an_upload_which_then_goes_on_where_it_stopped() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.tell(PAUSE) == [do.StopSending(FIRST)]
    assert site.tell(GO_ON) == [do.Send(FIRST, anew=False)]


def test_a_body_asked_for_anew_begins_at_its_first_chunk_only_once() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.AGAIN))) == [do.Send(FIRST, anew=True)]
    site.tell(PAUSE)
    assert site.tell(GO_ON) == [do.Send(FIRST, anew=False)]


def test_what_is_trained_during_a_pause_still_finds_its_way_into_the_outbox() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.Trained(0))
    assert site.tell(PAUSE, seen.SealFailed(0)) == []
    assert site.wait() == [do.Seal(0, stands_for=1.0)]
    assert site.tell(seen.Sealed(0, FIRST)) == []
    assert site.tell(GO_ON) == [do.Send(FIRST, anew=False)]


def test_a_receipt_is_taken_during_a_pause() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    site.tell(PAUSE)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]


def test_who_holds_a_study_lets_go_for_himself_alone() -> None:
    site = Driver()
    site.join()
    site.tell(PAUSE, seen.Held("not on the roster"))
    assert site.tell(seen.Held("")) == []
    assert site.shown() is State.PAUSED
    assert site.tell(GO_ON) == [do.Fetch(0)]


def test_a_study_held_for_its_data_still_sends_what_is_finished() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.tell(seen.Held("the data break the contract", by=seen.Holder.SETUP)) == []
    site.tell(seen.SendFailed(FIRST))
    assert site.wait() == [do.Send(FIRST, anew=False)]
    site.send()
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert site.announce(1) == []
    assert site.tell(seen.Held("", by=seen.Holder.SETUP)) == [do.Fetch(1)]


def test_what_was_finished_goes_out_and_is_settled_while_task_and_data_are_still_being_loaded() -> None:
    site = Driver(restored=Restored(entries=((FIRST, 0, -1),), trained={0: FIRST}, sequence_next=FIRST + 1))
    site.tell(seen.Loading(True))
    assert site.join(1) == [do.Send(FIRST, anew=False)]
    site.tell(seen.Sent(FIRST, 0))
    assert site.tell(seen.Leaving(True)) == []
    assert not site.core.left
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.core.left


def test_a_study_that_is_being_loaded_begins_nothing_and_is_idle_with_the_reason() -> None:
    site = Driver()
    site.tell(seen.Loading(True))
    assert site.join() == []
    assert site.shown() is State.LOADING
    assert site.core.held == "loading task and data"
    site.tell(seen.Loading(False), seen.Held("no such folder", by=seen.Holder.SETUP))
    assert (site.shown(), site.core.held) == (State.PAUSED, "no such folder")
    assert site.tell(seen.Held("", by=seen.Holder.SETUP)) == [do.Fetch(0)]
    assert not site.core.held


def test_who_leaves_settles_what_is_finished_and_begins_nothing_new() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.tell(seen.Leaving(True)) == []
    assert not site.core.left
    site.send()
    assert site.announce(1) == []
    assert site.shown() is State.WAITING
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.core.left
    assert site.shown() is State.PAUSED
    assert site.tell(seen.Leaving(False)) == [do.Fetch(1)]


def test_who_leaves_stops_training() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.tell(seen.Leaving(True)) == [do.StopWork()]
    assert site.core.left


def test_who_leaves_while_held_back_does_not_wait_for_what_cannot_be_sent() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    site.tell(PAUSE, seen.Leaving(True))
    assert site.core.left
    assert len(site.core.outbox) == 1


def test_a_full_outbox_lets_running_work_finish_and_begins_no_training_until_there_is_room() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.tell(seen.Room(False)) == []
    assert do.Send(FIRST, anew=False) in site.seal(0)
    site.send()
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.announce(1) == []
    assert site.shown() is State.PAUSED
    assert site.core.held == "the outbox is full"
    assert site.tell(seen.Room(True)) == [do.Fetch(1)]
