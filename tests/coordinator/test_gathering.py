"""Who is in a cohort: floors, counted and named."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coordinator.strategies.gathering import largest_within_floors, within_floors


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 12), max_size=12))
def test_counting_floors_gives_the_same_cohort_as_naming_sites(floors: dict[str, int]) -> None:
    size = largest_within_floors(Counter(floors.values()))
    assert {site for site, floor in floors.items() if floor <= size} == within_floors(floors)


def test_nobody_is_in_a_cohort_of_nobody() -> None:
    assert largest_within_floors({}) == 0
    assert largest_within_floors({2: 1}) == 0
    assert largest_within_floors({1: 1, 2: 1, 4: 1}) == 2
