"""Weight by staleness: the tables are the papers' in sixteenths, never rise, and stay within 4..16."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.staleness import Constant, CutOff, Hinge, Polynomial, Staleness, table

RULES: st.SearchStrategy[Staleness] = st.one_of(
    st.just(Constant()),
    st.builds(Polynomial, st.floats(0, 50)),
    st.builds(Hinge, st.floats(0, 1000), st.integers(0, 1024)),
)


@given(RULES, st.integers(0, 1024))
def test_a_table_begins_with_16_never_rises_and_stays_within_4_to_16(rule: Staleness, staleness_max: int) -> None:
    weights = table(CutOff(rule, staleness_max))
    assert len(weights) == staleness_max + 1
    assert weights[0] == 16
    assert all(type(weight) is int and 4 <= weight <= 16 for weight in weights)
    assert all(later <= earlier for earlier, later in pairwise(weights))


@given(RULES, st.integers(0, 100), st.integers(-10, 200))
def test_past_the_end_and_before_the_beginning_an_update_is_refused(rule: Staleness, end: int, late: int) -> None:
    assert (CutOff(rule, end).weight(late) is None) == (not 0 <= late <= end)


def test_the_default_table_is_that_of_the_specification() -> None:
    """W[tau] = max(4, round(16/sqrt(1+tau)))."""
    weights = table(CutOff(Polynomial(), 64))
    assert weights[:12] == (16, 11, 9, 8, 7, 7, 6, 6, 5, 5, 5, 5)
    assert set(weights[12:]) == {4}
    assert weights == tuple(max(4, round(16 / math.sqrt(1 + late))) for late in range(65))


def test_constant_never_falls() -> None:
    assert table(CutOff(Constant(), 20)) == (16,) * 21


def test_hinge_is_full_up_to_late_from_and_then_falls() -> None:
    """FedAsync, section 5: 1 up to b, then 1 / (a (tau - b) + 1); here a = 0.5, b = 2."""
    assert table(CutOff(Hinge(slope=0.5, late_from=2), 9)) == (16, 16, 16, 11, 8, 6, 5, 5, 4, 4)


def test_polynomial_with_exponent_one() -> None:
    assert table(CutOff(Polynomial(exponent=1.0), 5)) == (16, 8, 5, 4, 4, 4)


@pytest.mark.parametrize("rule", [Polynomial(exponent=0.0), Hinge(slope=0.0)])
def test_a_rule_that_does_not_fall_is_the_constant_one(rule: Staleness) -> None:
    assert table(CutOff(rule, 30)) == table(CutOff(Constant(), 30))


@pytest.mark.parametrize("cut", [0, 1, 1024])
def test_a_cut_off_at_its_borders(cut: int) -> None:
    assert CutOff(Constant(), cut).weight(cut) == 16
    assert CutOff(Constant(), cut).weight(cut + 1) is None
