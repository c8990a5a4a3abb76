"""Links as they are drawn or were measured: windows in order, the same for the same seed; bad files are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import speeds
from rehearsal.traces import DAY, HOUR, PROFILES, measured, windows
from schemas.errors import LocalError

SPEEDS = ["site,train_s,up_bytes_s,down_bytes_s", "a,60,1000,2000"]


@given(name=st.sampled_from(sorted(PROFILES)), seed=st.integers(0, 2**32), until=st.integers(1, 40 * DAY))
def test_windows_stand_in_order_never_touch_and_end_where_they_are_asked_to(name: str, seed: int, until: int) -> None:
    found = windows(name, seed, "a", until)
    assert found == windows(name, seed, "a", until)
    edges = [edge for window in found or () for edge in window]
    assert edges == sorted(set(edges))
    assert all(start < until for start, _ in found or ())


@given(seed=st.integers(0, 2**32))
def test_asking_for_more_time_changes_nothing_before(seed: int) -> None:
    for name in PROFILES:
        short, long = windows(name, seed, "a", 3 * DAY), windows(name, seed, "a", 9 * DAY)
        assert [window for window in short or () if window[1] < 3 * DAY] == [
            window for window in long or () if window[1] < 3 * DAY
        ]


def test_a_nightly_site_has_four_hours_each_night_and_a_window_of_its_own() -> None:
    found = [windows("nightly", 0, site, 30 * DAY) for site in ("a", "b")]
    assert all(one is not None and len(one) == 30 for one in found)
    assert all(
        end - start == 4 * HOUR and 8 * HOUR <= start % DAY < 14 * HOUR for one in found for start, end in one or ()
    )
    assert found[0] != found[1]


def test_a_flapping_line_is_up_a_quarter_of_the_time() -> None:
    found = [windows("flapping", seed, "a", 10 * DAY) or () for seed in range(20)]
    up = sum(end - start for one in found for start, end in one) / (200 * DAY)
    assert 0.22 < up < 0.28


def test_one_site_in_four_is_away_for_a_week_once() -> None:
    found = [windows("week-away", 0, f"s-{number}", 60 * DAY) for number in range(400)]
    away = [one for one in found if one is not None]
    assert 70 < len(away) < 130
    assert all(len(one) == 2 and one[1][0] - one[0][1] == 7 * DAY for one in away)


def test_measured_windows_may_stand_in_any_order_and_overlap() -> None:
    rows = ["site,from_s,to_s", "a,50,60", "a,0,10", "b,1.5,2", "a,10,20", "a,15,25"]
    assert measured(rows, where="t.csv") == {"a": ((0, 25_000), (50_000, 60_000)), "b": ((1500, 2000),)}


@pytest.mark.parametrize("row", ["a,5,5", "a,6,5", "a,-1,5", "a,x,5", "a,1", "a,1,2,3", ",1,2", "a,nan,2", "a,1,inf"])
def test_a_row_that_is_no_window_is_named_by_its_line(row: str) -> None:
    with pytest.raises(LocalError, match=r"t\.csv: line 3 is no window"):
        measured(["site,from_s,to_s", "a,0,1", row], where="t.csv")


def test_a_trace_that_is_none_and_a_header_that_is_none_are_refused() -> None:
    with pytest.raises(LocalError, match="no trace `weekly`"):
        windows("weekly", 0, "a", DAY)
    with pytest.raises(LocalError, match="the header must be site,from_s,to_s"):
        measured(["name,from,to"], where="t.csv")
    with pytest.raises(LocalError, match="the header must be"):
        measured([], where="t.csv")


def test_drawn_speeds_lie_around_the_median_and_are_a_sites_own() -> None:
    median = speeds.Speed(600, 1e5, 1e6)
    drawn = [speeds.drawn(median, 2.0, 0, f"s-{number}") for number in range(400)]
    assert speeds.drawn(median, 1.0, 0, "a") == median
    assert sum(one.train_s < 600 for one in drawn) in range(150, 250)
    assert sum(300 < one.train_s < 1200 for one in drawn) in range(240, 300)  # two in three
    assert len(set(drawn)) == 400


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["site,train_s"], "the header must be"),
        ([*SPEEDS, "b,0,1,1"], "line 3 is no site with three numbers"),
        ([*SPEEDS, "b,inf,1,1"], "line 3"),
        ([*SPEEDS, "b,1,1"], "line 3"),
        ([*SPEEDS, "a,1,1,1"], "line 3 names a a second time"),
    ],
)
def test_a_file_of_speeds_that_cannot_be_used_is_refused(rows: list[str], message: str) -> None:
    assert speeds.measured(SPEEDS, where="s.csv") == {"a": speeds.Speed(60, 1000, 2000)}
    with pytest.raises(LocalError, match=message):
        speeds.measured(rows, where="s.csv")
