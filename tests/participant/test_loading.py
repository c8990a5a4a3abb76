"""When task and data are loaded again, and when a failure ends the service."""

import pytest

from participant.core.loading import Loading
from participant.core.pauses import BACKOFF_MAX_MS


def loading(*, only: bool = True) -> Loading:
    return Loading(only=only, jitter=lambda: 0.5)


def fail(one: Loading, now_ms: int = 0, *, mends: bool = True, undecided: bool = False, took_ms: int = 0) -> bool:
    return one.failed(now_ms, mends=mends, undecided=undecided, took_ms=took_ms)


def test_the_first_try_is_made_at_once_and_each_failure_makes_the_pause_longer_up_to_five_minutes() -> None:
    one, waits = loading(), []
    assert one.wait_ms(0) == 0
    for _ in range(12):
        assert not fail(one)
        waits.append(one.wait_ms(0) or 0)
    assert waits == sorted(waits)
    assert waits[:3] == [750, 1500, 3000]
    assert waits[-1] == BACKOFF_MAX_MS * 3 // 4
    assert one.wait_ms(waits[-1]) == 0


def test_a_try_that_kept_the_trainer_busy_is_followed_by_a_pause_as_long() -> None:
    one = loading()
    fail(one, took_ms=60_000)
    assert one.wait_ms(0) == 60_000


def test_the_operators_resume_is_a_try_at_once_and_the_pauses_begin_anew() -> None:
    one = loading()
    for _ in range(9):
        fail(one)
    one.wished(rests=False)
    assert (one.wait_ms(0), one.failures) == (0, 0)
    fail(one)
    assert one.wait_ms(0) == 750


def test_nothing_is_loaded_while_the_operator_lets_nothing_begin() -> None:
    one = loading()
    fail(one)
    one.wished(rests=True)
    assert one.wait_ms(0) is None
    assert one.wait_ms(BACKOFF_MAX_MS) is None
    one.wished(rests=False)
    assert one.wait_ms(0) == 0


@pytest.mark.parametrize(
    ("only", "mends", "undecided", "ends"),
    [
        (True, False, False, True),
        (False, False, False, False),  # the other studies go on
        (True, True, False, False),  # it may come right by itself
        (True, False, True, False),  # finished work goes out first
    ],
)
def test_only_a_mistake_in_the_settings_of_the_only_study_with_an_empty_outbox_ends_the_service(
    only: bool, mends: bool, undecided: bool, ends: bool
) -> None:
    assert fail(loading(only=only), mends=mends, undecided=undecided) is ends


def test_only_the_first_try_ends_the_service() -> None:
    waited, ran = loading(), loading()
    fail(waited)
    ran.loaded()
    assert not fail(waited, mends=False)
    assert not fail(ran, mends=False)
