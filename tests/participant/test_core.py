"""What a site does next, example by example."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.restored import Restored
from participant.core.study import UNDECIDED_MAX
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
    assert site.tell(seen.Trained(0)) == [do.Seal(0)]
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


def test_a_fetch_that_a_cut_interrupted_begins_anew_with_the_newest_version() -> None:
    site = Driver()
    site.join()
    site.announce(3)
    assert site.tell(seen.Linked(False)) == []
    assert site.shown() is State.AWAY
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
    gone = site.announce(STALENESS_MAX + 1)
    assert gone == [do.StopSending(FIRST), do.Settle(FIRST, "stale"), do.Fetch(STALENESS_MAX + 1)]


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
    site.send(offset=3)
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
    assert site.wait() == [do.Seal(0)]
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
    assert late.announce(1, final=True) == [do.StopSending(FIRST), do.Settle(FIRST, "ended"), do.Fetch(1)]


def test_the_local_baseline_runs_in_a_quiet_moment_and_makes_room_for_a_new_version() -> None:
    site = Driver(plan(alone=True))
    site.join(1)
    site.tell(seen.Fetched(1))
    assert site.seal(1) == [do.Seal(1), do.RunAlone(), do.Send(FIRST, anew=False)]
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
