"""A site's core at the end of a study, off the roster, with an old database, after a restart."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.restored import Restored
from participant.core.stage import Fate
from schemas.records import Outcome
from tests.participant.driving import FIRST, Driver, plan, receipt, rests
from tests.schemas.plans import WEIGHTS


def test_the_final_version_is_fetched_and_measured_and_then_the_site_rests() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    assert site.announce(1, final=True) == [do.Fetch(1)]
    assert site.tell(seen.Fetched(1)) == [do.Evaluate(1)]
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert site.tell(seen.Evaluated(1)) == []
    assert rests(site.core)
    assert site.shown() is State.IDLE


def test_repro_an_update_is_not_given_up_because_the_last_version_is_read_before_its_receipt() -> None:
    site = Driver()
    site.join()
    site.offer(0)
    site.announce(1, final=True)
    site.tell(seen.Fetched(1))
    assert site.tell(seen.Evaluated(1)) == []
    assert not rests(site.core)
    assert site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED))) == [do.Settle(FIRST, Fate.COUNTED)]
    assert rests(site.core)


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
    assert late.wait() == [do.StopSending(FIRST), do.Settle(FIRST, Fate.ENDED)]


def test_the_local_baseline_runs_in_a_quiet_moment_and_makes_room_for_a_new_version() -> None:
    site = Driver(plan(alone=True))
    site.join(1)
    site.tell(seen.Fetched(1))
    assert site.seal(1) == [do.Seal(1, stands_for=2.0), do.RunAlone(), do.Send(FIRST, anew=False)]
    site.send()
    assert site.shown() is State.WAITING
    assert site.announce(2) == []
    decided = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert decided == [do.Settle(FIRST, Fate.COUNTED), do.Fetch(2)]
    assert site.tell(seen.Fetched(2)) == [do.StopWork(), do.Train(2, 0)]


def test_however_often_it_makes_room_the_local_baseline_goes_on() -> None:
    site = Driver(plan(alone=True))
    site.join(1)
    for version in range(1, 7):
        site.tell(seen.Fetched(version))
        assert do.RunAlone() in site.seal(version)
        site.send()
        site.announce(version + 1)
        site.tell(seen.ReceiptRead(receipt(site.sequence, Outcome.COUNTED)))
    site.tell(seen.AloneEnded(True))
    site.tell(seen.Fetched(7))
    assert do.RunAlone() not in site.seal(7)


def test_a_baseline_that_failed_while_versions_came_is_tried_again_when_none_come_any_more() -> None:
    site = Driver(plan(alone=True))
    site.join(1)
    site.tell(seen.Fetched(1))
    site.seal(1)
    site.send()
    for _ in range(2):
        site.tell(seen.AloneEnded(False))
        assert do.RunAlone() in site.wait()
    site.tell(seen.AloneEnded(False))
    assert do.RunAlone() in site.announce(2, final=True)


def test_the_final_evaluation_waits_for_the_local_baseline() -> None:
    site = Driver(plan(alone=True))
    assert site.join(5, final=True) == [do.RunAlone(), do.Fetch(5)]
    assert site.tell(seen.Fetched(5)) == []
    assert site.tell(seen.AloneEnded(True)) == [do.Evaluate(5)]


def test_a_baseline_is_told_although_the_version_was_measured_before_a_restart_and_the_study_ended_meanwhile() -> None:
    site = Driver(plan(every=1, alone=True), restored=Restored(sequence_next=FIRST, evaluated=5))
    assert site.join(5, final=True) == [do.RunAlone(), do.Fetch(5)]
    assert site.tell(seen.Fetched(5)) == []
    assert site.tell(seen.AloneEnded(True)) == [do.Evaluate(5)]
    assert site.tell(seen.Evaluated(5)) == []


def test_a_study_that_has_ended_whole_is_not_measured_again_after_a_restart() -> None:
    restored = Restored(sequence_next=FIRST, evaluated=5, alone_done=True)
    assert Driver(plan(every=1, alone=True), restored=restored).join(5, final=True) == []


def test_a_baseline_that_cannot_be_had_does_not_hold_up_the_end() -> None:
    site = Driver(plan(alone=True))
    site.join(5, final=True)
    site.tell(seen.Fetched(5))
    for _ in range(2):
        assert site.tell(seen.AloneEnded(False)) == []
        assert site.wait() == [do.RunAlone()]
    effects = site.tell(seen.AloneEnded(False))
    assert effects[0] == do.Evaluate(5)
    assert isinstance(effects[1], do.Alarm)


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
    assert decided == [do.Settle(FIRST, Fate.COUNTED), do.Fetch(4)]


def test_after_a_stop_the_last_version_is_measured_once_more_for_baseline_and_interval_go_with_it() -> None:
    site = Driver(plan(every=1, alone=True))
    site.join(1)
    site.tell(seen.Fetched(1))
    site.tell(seen.Evaluated(1))
    site.seal(1)
    site.send()
    site.tell(seen.AloneEnded(True))
    assert do.Evaluate(1) in site.announce(1, final=True)
