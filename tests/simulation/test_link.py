"""A link's arithmetic: what passes when, over whatever happens to it."""

from hypothesis import given
from hypothesis import strategies as st

from simulation.clock import NEVER_MS
from simulation.link import CUT, NOTICED_MS, STALLED, Link, Quality, Span, outside

spans = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 20_000), st.sampled_from((CUT, STALLED, Quality(0.5, 0.25, 3.0)))),
    max_size=6,
).map(lambda drawn: [(begin, begin + length, quality) for begin, length, quality in drawn])


def test_a_transfer_takes_latency_and_size_by_rate() -> None:
    link = Link(20, up_bytes_s=1_000, down_bytes_s=2_000)
    assert link.sent_ms(100, 1_000) == 100 + 1_000 + 20
    assert link.fetched_ms(100, 1_000) == 100 + 500 + 20


def test_a_cut_stops_a_transfer_and_it_goes_on_where_it_stopped() -> None:
    link = Link(0, 1_000, 1_000, [(500, 2_500, CUT)])
    assert link.sent_ms(0, 1_000) == 3_000
    assert link.moved(0, 2_000, 1_000, up=True) == 500


def test_outside_its_windows_a_link_is_cut() -> None:
    link = Link(0, 1_000, 1_000, outside([(1_000, 2_000), (5_000, 6_000)]))
    assert link.changes() == [(0, False), (1_000, True), (2_000, False), (5_000, True), (6_000, False)]
    assert link.sent_ms(0, 1_500) == 5_500
    assert link.sent_ms(5_900, 1_000) == NEVER_MS


def test_a_stall_is_noticed_late_and_a_short_one_never() -> None:
    long, short = (1_000, 20_000, STALLED), (1_000, 1_000 + NOTICED_MS, STALLED)
    assert Link(0, 1, 1, [long]).changes() == [(0, True), (1_000 + NOTICED_MS, False), (20_000, True)]
    assert Link(0, 1, 1, [short]).changes() == [(0, True)]


@given(spans, st.integers(0, 30_000), st.integers(0, 20_000), st.booleans())
def test_what_has_passed_when_a_transfer_ends_is_all_of_it(
    faulty: list[Span], start_ms: int, size_bytes: int, up: bool
) -> None:
    link = Link(0, 1_000, 1_000, faulty)
    end_ms = link.sent_ms(start_ms, size_bytes) if up else link.fetched_ms(start_ms, size_bytes)
    assert end_ms >= start_ms + size_bytes
    assert link.moved(start_ms, end_ms, size_bytes, up=up) >= size_bytes - 1
    assert link.moved(start_ms, end_ms - 2, 1 << 60, up=up) <= size_bytes


@given(spans, st.integers(0, 30_000), st.integers(0, 20_000))
def test_who_starts_later_is_never_earlier(faulty: list[Span], start_ms: int, size_bytes: int) -> None:
    link = Link(0, 1_000, 1_000, faulty)
    assert link.sent_ms(start_ms, size_bytes) <= link.sent_ms(start_ms + 1, size_bytes)
