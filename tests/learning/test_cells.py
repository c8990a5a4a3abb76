"""Only what is written as a number is one; words become their place among the words that may stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.cells import codes, is_number, numbers, words

NUMBERS = ["12", "-3", "+4.5", " 7 ", "1e5", "2.5E-3", ".5", "5.", "0012", "-0", "\u00a08"]
NONE = [
    "1_23", "12_3", "0x10", "1,234.5", "1 234", "nan", "NaN", "inf", "-Infinity", "\u0661\u0662", "\uff11\uff12",
    "1e", "e5", "+", ".", "--1", "5 mg", "<5", "12%", "1.2.3", "2024-01-01", "True", "1e999", "1/2", "٣",
]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_what_is_written_as_a_number_is_one(text: str) -> None:
    values, wrong = numbers([text, "1"])
    assert (values[0], wrong[0]) == (float(text), False)


@pytest.mark.parametrize("text", NONE)
def test_what_python_or_a_spreadsheet_would_make_a_number_of_is_none(text: str) -> None:
    values, wrong = numbers([text, "1"])
    assert np.isnan(values[0])
    assert wrong.tolist() == [True, False]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_is_written_is_read_to_the_bit(given_numbers: list[float]) -> None:
    values, wrong = numbers([repr(number) for number in given_numbers])
    assert values.tolist() == given_numbers
    assert not wrong.any()


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.text(max_size=8), st.from_regex(r"[0-9+.eE_x-]{1,8}", fullmatch=True)), max_size=6))
def test_one_odd_cell_changes_nothing_for_the_others(texts: list[str]) -> None:
    together, wrong = numbers(texts)
    alone = [numbers([text]) for text in texts]
    np.testing.assert_array_equal(together, [value[0] for value, _ in alone])
    assert wrong.tolist() == [bad[0] for _, bad in alone]
    for text, value, bad in zip(texts, together, wrong, strict=True):
        assert bad or text.strip() in ("", "NA", "?") or (is_number(text) and value == float(text))


def test_a_decimal_comma_is_one_where_it_is_meant_and_a_point_is_then_none() -> None:
    values, wrong = numbers(["1,5", "2", "-0,25", "1.234", "1.234,5", "NA"], decimal=",")
    np.testing.assert_array_equal(values, [1.5, 2, -0.25, np.nan, np.nan, np.nan])
    assert wrong.tolist() == [False, False, False, True, True, False]


def test_a_mark_for_a_missing_value_may_hold_the_decimal_mark() -> None:
    values, wrong = numbers(["1,5", " -99,0 ", "-99,0"], missing=("-99,0",), decimal=",")
    np.testing.assert_array_equal(values, [1.5, np.nan, np.nan])
    assert not wrong.any()


def test_words_become_their_place_and_others_none() -> None:
    values, wrong = codes(["M", " F", "", "D", "f"], ("F", "M"))
    np.testing.assert_array_equal(values, [1, 0, np.nan, np.nan, np.nan])
    assert wrong.tolist() == [False, False, False, True, True]


def test_text_is_kept_as_it_is_written() -> None:
    values, wrong = words(["007", " P 1 ", "NA"])
    assert values.tolist() == ["007", "P 1", ""]
    assert not wrong.any()
