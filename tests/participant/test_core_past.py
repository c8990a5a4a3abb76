"""A site's core and a log that has not got any more what the site has met on it."""

import pytest

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.restored import Restored
from participant.core.stage import Fate
from schemas.records import Outcome
from tests.participant.driving import FIRST, Driver, receipt

LONG_AGO = Restored(trained={3: FIRST - 1}, sequence_next=FIRST, evaluated=3, record=812)


def joined(restored: Restored, *, version: int, record: int) -> Driver:
    """A site that was started and has read its log to the end."""
    site = Driver(restored=restored)
    site.tell(seen.Held(""), seen.Linked(True))
    site.core.on_all([seen.Announced(version, False), seen.LogRead(record)], 0)
    return site


def test_a_log_that_ends_before_what_was_seen_of_it_holds_the_study_and_says_what_can_be_done() -> None:
    site = joined(LONG_AGO, version=4, record=3)
    assert site.core.state is State.PAUSED
    assert "the log of demo ends at record 3, this site has seen record 812" in site.core.held
    assert "docs/operations/log-older-than-its-sites.md" in site.core.held
    assert site.announce(5) == []


def test_it_is_told_once_as_an_alarm_however_often_the_log_grows_meanwhile() -> None:
    site = Driver(restored=LONG_AGO)
    site.tell(seen.Held(""), seen.Linked(True))
    told = [effect for record in range(4) for effect in site.tell(seen.LogRead(record))]
    assert [type(effect) for effect in told] == [do.Alarm]
    assert "ends at record 3" in site.core.held


def test_a_log_that_has_it_again_lets_the_study_go_on_by_itself() -> None:
    site = joined(LONG_AGO, version=3, record=811)
    assert site.core.held
    site.announce(4)
    assert site.tell(seen.LogRead(812)) == [do.Fetch(4)]
    assert not site.core.held


def test_a_log_that_has_all_that_was_seen_of_it_or_more_is_worked_on() -> None:
    for record in (812, 900):
        site = joined(LONG_AGO, version=4, record=record)
        assert site.core.state is State.FETCHING


@pytest.mark.parametrize("known", [{"trained": {39: FIRST - 1}}, {"evaluated": 39}])
def test_repro_a_log_whose_versions_were_all_trained_from_long_ago_leaves_nobody_idle_without_a_word(
    known: dict[str, object],
) -> None:
    site = Driver(restored=Restored(sequence_next=FIRST, **known))  # type: ignore[arg-type]  # one of two fields
    assert [type(effect) for effect in site.join(0)] == [do.Alarm]
    assert site.shown() is State.PAUSED
    assert "the log of demo ends at version 0, this site has worked on version 39" in site.core.held
    assert site.announce(39) == ([] if "trained" in known else [do.Fetch(39)])
    assert not site.core.held


def test_an_empty_log_is_no_reason_to_wait_in_silence() -> None:
    site = Driver(restored=LONG_AGO)
    site.tell(seen.Held(""), seen.Linked(True), seen.LogRead(-1))
    assert "the log of demo has no record, this site has seen record 812" in site.core.held
    site = Driver(restored=Restored(evaluated=3))
    site.tell(seen.LogRead(-1))
    assert "has no version" in site.core.held


def test_a_fresh_site_waits_for_version_0_as_ever() -> None:
    site = Driver(restored=Restored(sequence_next=FIRST))
    assert site.tell(seen.Held(""), seen.Linked(True), seen.LogRead(-1)) == []
    assert site.shown() is State.IDLE


def test_finished_work_is_kept_while_the_log_is_behind_and_goes_out_when_it_is_not() -> None:
    behind = Restored(entries=((FIRST, 3, -1),), trained={3: FIRST}, sequence_next=FIRST + 1, evaluated=3, record=9)
    site = joined(behind, version=0, record=0)
    assert [entry.sequence for entry in site.core.outbox] == [FIRST]
    assert site.core.wake_ms is None
    effects = site.core.on_all([seen.Announced(3, False), seen.LogRead(9)], 0)
    assert do.Send(FIRST, anew=False) in effects


def test_a_log_that_loses_its_end_while_it_is_followed_stops_what_is_under_way() -> None:
    site = Driver()
    site.join()
    site.tell(seen.LogRead(7), seen.Fetched(0))
    stopped = site.tell(seen.LogRead(2))
    assert do.StopWork() in stopped
    assert "ends at record 2, this site has seen record 7" in site.core.held
    assert site.tell(seen.LogRead(7)) == [do.Train(0, attempt=0)]


def test_who_has_met_another_record_says_that_alone() -> None:
    site = joined(LONG_AGO, version=3, record=8)
    site.tell(seen.Held("the log forked"), seen.LogRead(None))
    assert site.core.held == "the log forked"


def test_a_receipt_is_taken_while_the_log_is_behind() -> None:
    behind = Restored(entries=((FIRST, 3, 7),), trained={3: FIRST}, sequence_next=FIRST + 1, evaluated=3, record=9)
    site = joined(behind, version=3, record=8)
    settled = site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    assert settled == [do.Settle(FIRST, Fate.COUNTED)]
