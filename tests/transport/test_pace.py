"""The pace: requests that grow on a good link and never outgrow a slow one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from transport.staying.pace import SHARE, Pace

UNIT, MOST, LIMIT_S = 500_000, 2_000_000, 120.0


def pace() -> Pace:
    return Pace(unit_bytes=UNIT, most_bytes=MOST, limit_s=LIMIT_S)


def run(one: Pace, rate: float, requests: int = 8, latency_s: float = 0.0) -> list[float]:
    """Seconds that requests take over a link of `rate` bytes a second."""
    seconds = []
    for _ in range(requests):
        seconds.append(latency_s + one.request_bytes / rate)
        one.took(one.request_bytes, seconds[-1])
    return seconds


def test_an_unknown_link_is_asked_for_one_chunk_first() -> None:
    assert pace().request_bytes == UNIT


def test_a_fast_link_is_asked_for_all_after_two_requests() -> None:
    one = pace()
    run(one, 50e6, requests=2)
    assert one.request_bytes == MOST


def test_a_long_way_does_not_make_requests_small() -> None:
    one = pace()
    run(one, 50e6, latency_s=0.3)
    assert one.request_bytes == MOST


@settings(deadline=None)
@given(rate=st.floats(UNIT * SHARE / LIMIT_S, 1e9))
def test_at_a_steady_rate_no_request_takes_more_than_its_share_of_the_time(rate: float) -> None:
    assert max(run(pace(), rate)) <= LIMIT_S / SHARE * 1.001


@settings(deadline=None)
@given(before=st.floats(1e4, 1e9), after=st.floats(UNIT / LIMIT_S * 1.01, 1e9))
def test_a_link_that_slows_down_is_followed_at_the_next_request(before: float, after: float) -> None:
    one = pace()
    run(one, before)
    one.took(one.request_bytes, one.request_bytes / after)  # this one was asked for at the old rate
    assert one.request_bytes / after < LIMIT_S


def test_after_a_request_that_did_not_end_the_least_is_asked_for() -> None:
    one = pace()
    run(one, 50e6)
    one.timed_out()
    assert one.request_bytes == UNIT


def test_small_bodies_say_little_and_an_empty_answer_nothing() -> None:
    one = pace()
    run(one, 50e6)
    one.took(0, 5.0)
    assert one.request_bytes == MOST
    one.took(40, 0.005)
    assert one.request_bytes == UNIT
    one.took(UNIT, 0.01)
    assert one.request_bytes == 2 * UNIT
