"""A site's core when training, fetching, evaluating or the disk fails."""

import pytest

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import State
from participant.core.events import Event
from participant.core.failing import kinds_of
from participant.core.jobs import JOBS
from schemas.records import Outcome
from tests.participant.driving import FIRST, FRESH, Driver, plan, receipt


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


def test_an_evaluation_that_fails_does_not_keep_a_site_from_training_and_is_tried_again_later() -> None:
    site = Driver(plan(every=1), restored=FRESH)
    site.join()
    site.tell(seen.Fetched(0))
    assert site.tell(seen.EvaluationFailed(0)) == [do.Train(0, 0)]
    site.now_ms += 60_000
    site.seal(0)
    assert site.core.failing["evaluate"] == 1


def test_an_evaluation_that_always_fails_is_tried_ever_more_seldom_while_versions_come() -> None:
    site = Driver(plan(every=1), restored=FRESH)
    site.join()
    tried = 0
    for version in range(300):  # one in ten seconds
        if do.Evaluate(version) in site.tell(seen.Fetched(version)):
            tried += 1
            assert do.Train(version, 0) in site.tell(seen.EvaluationFailed(version))
        site.seal(version)
        site.send()
        site.tell(seen.ReceiptRead(receipt(site.sequence, Outcome.COUNTED)))
        site.announce(version + 1)
        site.now_ms += 10_000
    assert 8 <= tried <= 25  # 3,000 s in pauses that double up to five minutes
    assert "measuring versions has failed 3 times in a row" in site.core.held


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("evaluate", [seen.Fetched(0), seen.EvaluationFailed(0), seen.TrainingFailed(0, again=True)]),
        ("train", [seen.Fetched(0), seen.TrainingFailed(0, again=True)]),
        ("fetch", [seen.FetchFailed(0)]),
        ("seal", [seen.Fetched(0), seen.Trained(0), seen.SealFailed(0)]),
        ("send", [seen.Fetched(0), seen.Trained(0), seen.Sealed(0, FIRST), seen.SendFailed(FIRST)]),
    ],
)
def test_whatever_fails_has_a_state_is_said_once_and_tried_with_growing_pauses(kind: str, facts: list[Event]) -> None:
    site = Driver(plan(every=1 if kind == "evaluate" else 1000), restored=FRESH if kind == "evaluate" else None)
    site.join()
    every: dict[str, Event] = {
        "evaluate": seen.EvaluationFailed(0), "train": seen.TrainingFailed(0, again=True),
        "fetch": seen.FetchFailed(0), "seal": seen.SealFailed(0), "send": seen.SendFailed(FIRST),
    }  # fmt: skip
    again = every[kind]
    said, waits = site.tell(*facts), list[int]()
    for _ in range(8):
        before_ms = site.now_ms
        while site.core.failing[kind] == len(waits) + 1:
            said += site.wait()
            if kind == "evaluate":
                said += site.tell(seen.TrainingFailed(0, again=True))
            said += site.tell(again)
        waits.append(site.now_ms - before_ms)
    assert site.shown() is State.FAILING
    assert site.core.failing[kind] == 9
    assert waits == sorted(waits)
    assert waits[-1] > 30 * waits[0]
    fails = kinds_of(JOBS)[kind].fails
    told = [one.message for one in said if isinstance(one, do.Alarm) and one.message.startswith(fails)]
    assert len(told) == 1
    assert fails in site.core.held


def test_a_full_disk_does_not_make_a_site_try_each_new_version_at_once_for_ever() -> None:
    site = Driver()
    site.join()
    tried = 1
    for version in range(200):
        fetches = [effect for effect in site.tell(seen.FetchFailed(version)) if isinstance(effect, do.Fetch)]
        assert not fetches
        site.now_ms += 10_000
        if do.Fetch(version + 1) in site.announce(version + 1):
            tried += 1
    assert tried <= 20


def test_what_comes_off_ends_the_matter_and_is_said_again_when_it_fails_again() -> None:
    site = Driver()
    site.join()
    for row in range(2):
        said = []
        for _ in range(3):
            said += site.tell(seen.FetchFailed(row))
            site.wait()
        assert [type(effect) for effect in said] == [do.Alarm]
        site.tell(seen.Fetched(row))
        assert site.core.held == ""
        site.seal(row)
        site.send()
        site.tell(seen.ReceiptRead(receipt(site.sequence, Outcome.COUNTED)))
        site.announce(row + 1)


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
    assert site.shown() is State.FAILING
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


def test_a_site_with_nobody_to_train_on_tries_once_and_judges_every_version() -> None:
    site = Driver(plan(every=1, alone=True))
    site.join()
    assert site.tell(seen.Fetched(0)) == [do.Train(0, 0)]
    site.tell(seen.TrainingFailed(0, again=False, ever=False))
    assert site.shown() is not State.PAUSED
    for version in (1, 2, 3):
        assert site.announce(version, final=version == 3) == [do.Fetch(version)]
        assert site.tell(seen.Fetched(version)) == [do.Evaluate(version)]
        assert site.tell(seen.Evaluated(version)) == []
