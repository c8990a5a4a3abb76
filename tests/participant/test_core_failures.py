"""A site's core when training, fetching, evaluating or the disk fails."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from tests.participant.driving import FIRST, FRESH, Driver, plan


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
