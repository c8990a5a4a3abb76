"""What a site does next, example by example."""

import pytest

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.outbox import GRACE_MS, REMIND_MS
from participant.core.restored import Restored
from participant.core.study import ABSENCE_MS, UNDECIDED_MAX
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
    assert counted == [do.Settle(FIRST, "counted")]
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
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]
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
    assert decided == [do.Settle(FIRST, "counted"), do.Fetch(1)]


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
    assert settled == [do.Settle(FIRST, "counted"), do.Fetch(UNDECIDED_MAX)]


def test_training_past_the_plans_table_is_stopped_and_the_newest_version_taken() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.announce(STALENESS_MAX) == []
    assert site.announce(STALENESS_MAX + 1) == [do.StopWork(), do.Fetch(STALENESS_MAX + 1)]


def test_an_unsent_update_past_the_plans_table_is_dropped() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    site.seal(0)
    assert site.announce(STALENESS_MAX + 1) == []
    assert site.wait() == [do.StopSending(FIRST), do.Settle(FIRST, "stale"), do.Fetch(STALENESS_MAX + 1)]


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
    assert counted == [do.StopSending(FIRST), do.Settle(FIRST, "counted"), do.Fetch(STALENESS_MAX + 1)]


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
    assert site.now_ms == REMIND_MS
    site.send(offset=7)
    assert site.wait() == [do.Send(FIRST, anew=False)]
    answer = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code="stale")))
    assert answer[:2] == [do.StopSending(FIRST), do.Settle(FIRST, "refused", again=True, code="stale")]


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
    assert decided == [do.Settle(FIRST, "counted"), do.Fetch(STALENESS_MAX + 9)]


def test_a_void_update_is_trained_again_from_the_same_version_after_a_pause_with_another_seed() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    void = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.VOID, code="range")))
    assert void == [do.Settle(FIRST, "void", again=True, code="range")]
    assert site.wait() == [do.Train(0, 1)]


def test_what_training_again_cannot_heal_waits_for_the_next_version() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    refused = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code="floor")))
    assert refused == [do.Settle(FIRST, "refused", again=False, code="floor")]
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


def test_a_trainer_that_died_is_asked_again_for_the_same_version() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.tell(seen.TrainingFailed(0, again=True)) == []
    assert site.wait() == [do.Train(0, 1)]


def test_training_that_gave_nan_waits_for_the_next_version() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.TrainingFailed(0, again=False))
    assert site.wait() == []
    assert site.announce(1) == [do.Fetch(1)]
    assert site.tell(seen.Fetched(1)) == [do.Train(1, 0)]


def test_nan_in_a_row_pauses_the_next_versions_too() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.TrainingFailed(0, again=False))
    site.announce(1)
    assert site.tell(seen.Fetched(1)) == []
    assert site.wait() == [do.Train(1, 0)]


def test_a_full_disk_lets_the_finished_update_wait_for_its_place_in_the_outbox() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.Trained(0))
    assert site.tell(seen.SealFailed(0)) == []
    assert site.wait() == [do.Seal(0, stands_for=1.0)]
    assert site.tell(seen.Sealed(0, FIRST)) == [do.Send(FIRST, anew=False)]


def test_a_failed_fetch_is_tried_again_and_at_once_when_a_newer_version_is_out() -> None:
    site = Driver()
    site.join()
    assert site.tell(seen.FetchFailed(0)) == []
    assert site.wait() == [do.Fetch(0)]
    site.tell(seen.FetchFailed(0))
    assert site.announce(1) == [do.Fetch(1)]


def test_an_evaluation_that_keeps_failing_does_not_keep_a_site_from_training() -> None:
    site = Driver(plan(every=1), restored=FRESH)
    site.join()
    site.tell(seen.Fetched(0))
    for _ in range(2):
        assert site.tell(seen.EvaluationFailed(0)) == []
        assert site.wait() == [do.Evaluate(0)]
    assert site.tell(seen.EvaluationFailed(0)) == [do.Train(0, 0)]


def test_the_final_version_is_fetched_and_measured_and_then_the_site_rests() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.announce(1, final=True) == [do.Fetch(1)]
    assert site.tell(seen.Fetched(1)) == [do.Evaluate(1)]
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]
    assert site.tell(seen.Evaluated(1)) == []
    assert site.core.resting
    assert site.shown() is State.IDLE


def test_repro_an_update_is_not_given_up_because_the_last_version_is_read_before_its_receipt() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    site.announce(1, final=True)
    site.tell(seen.Fetched(1))
    assert site.tell(seen.Evaluated(1)) == []
    assert not site.core.resting
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]
    assert site.core.resting


def test_the_end_of_a_study_stops_training_and_drops_what_was_not_sent() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    assert site.announce(1, final=True) == [do.StopWork(), do.Fetch(1)]
    late = Driver()
    late.join()
    late.tell(seen.Fetched(0))
    late.seal(0)
    assert late.announce(1, final=True) == [do.Fetch(1)]
    assert late.wait() == [do.StopSending(FIRST), do.Settle(FIRST, "ended")]


def test_the_local_baseline_runs_in_a_quiet_moment_and_makes_room_for_a_new_version() -> None:
    site = Driver(plan(alone=True))
    site.join(1)
    site.tell(seen.Fetched(1))
    assert site.seal(1) == [do.Seal(1, stands_for=2.0), do.RunAlone(), do.Send(FIRST, anew=False)]
    site.send()
    assert site.shown() is State.WAITING
    assert site.announce(2) == []
    decided = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert decided == [do.Settle(FIRST, "counted"), do.Fetch(2)]
    assert site.tell(seen.Fetched(2)) == [do.StopWork(), do.Train(2, 0)]


def test_the_final_evaluation_waits_for_the_local_baseline() -> None:
    site = Driver(plan(alone=True))
    assert site.join(5, final=True) == [do.RunAlone(), do.Fetch(5)]
    assert site.tell(seen.Fetched(5)) == []
    assert site.tell(seen.AloneEnded(True)) == [do.Evaluate(5)]


def test_a_baseline_that_cannot_be_had_does_not_hold_up_the_end() -> None:
    site = Driver(plan(alone=True))
    site.join(5, final=True)
    site.tell(seen.Fetched(5))
    for _ in range(2):
        assert site.tell(seen.AloneEnded(False)) == []
        assert site.wait() == [do.RunAlone()]
    assert site.tell(seen.AloneEnded(False)) == [do.Evaluate(5)]


def test_a_site_off_the_roster_pauses_and_goes_on_when_it_is_back() -> None:
    site = Driver()
    site.join()
    assert site.tell(seen.Held("not on the roster")) == [do.StopFetching(0)]
    assert site.shown() is State.PAUSED
    assert site.core.wake_ms is None
    assert site.tell(seen.Held("")) == [do.Fetch(0)]


def test_a_database_older_than_its_receipts_stops_the_service() -> None:
    site = Driver()
    site.join()
    effects = site.tell(seen.ReceiptRead(receipt(FIRST + 5, Outcome.COUNTED)))
    assert isinstance(effects[0], do.Halt)
    assert "restored from an old copy" in effects[0].message
    assert site.announce(1) == []


def test_a_database_older_than_the_requests_stops_the_service() -> None:
    site = Driver()
    site.join()
    assert isinstance(site.tell(seen.Requested(0, FIRST, 16))[0], do.Halt)


def test_receipts_from_before_a_fresh_outbox_do_not_matter() -> None:
    site = Driver()
    assert site.tell(seen.ReceiptRead(receipt(FIRST - 1, Outcome.COUNTED))) == []


def test_a_request_with_a_weight_off_the_plans_table_raises_an_alarm() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.tell(seen.Requested(1, FIRST, WEIGHTS[1])) == []
    assert isinstance(site.tell(seen.Requested(1, FIRST, 16))[0], do.Alarm)


def test_a_restart_goes_on_with_the_outbox_and_does_not_train_the_same_version_again() -> None:
    restored = Restored(entries=((FIRST, 3, -1),), trained={3: FIRST}, sequence_next=FIRST + 1, evaluated=3)
    site = Driver(restored=restored)
    assert site.join(3) == [do.Send(FIRST, anew=False)]
    assert site.tell(seen.Sent(FIRST, 9)) == []
    assert site.announce(4) == []
    decided = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert decided == [do.Settle(FIRST, "counted"), do.Fetch(4)]


PAUSE, GO_ON = seen.Held("paused by the operator", by="operator"), seen.Held("", by="operator")


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
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]


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
    assert site.tell(seen.Held("the data break the contract", by="setup")) == []
    site.tell(seen.SendFailed(FIRST))
    assert site.wait() == [do.Send(FIRST, anew=False)]
    site.send()
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert site.announce(1) == []
    assert site.tell(seen.Held("", by="setup")) == [do.Fetch(1)]


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
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]
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
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, "counted")]
    assert site.announce(1) == []
    assert site.shown() is State.PAUSED
    assert site.core.held == "the outbox is full"
    assert site.tell(seen.Room(True)) == [do.Fetch(1)]


def test_training_that_keeps_failing_is_said_once_and_tried_again_with_growing_pauses() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0))
    said = []
    for attempt in range(5):
        said += site.tell(seen.TrainingFailed(0, again=True))
        assert site.wait() == [do.Train(0, attempt + 1)]
    assert [type(effect) for effect in said] == [do.Alarm]
    site.tell(seen.TrainingFailed(0, again=True))
    assert site.shown() is State.PAUSED
    assert "training has failed" in site.core.held
    site.wait()
    site.tell(seen.Trained(0))
    assert site.core.held == ""


def test_a_failure_that_took_long_waits_as_long_so_that_other_studies_have_the_trainer() -> None:
    site = Driver()
    site.join()
    site.tell(seen.Fetched(0), seen.TrainingFailed(0, again=True, took_ms=600_000))
    before_ms = site.now_ms
    site.wait()
    assert site.now_ms - before_ms == 600_000
