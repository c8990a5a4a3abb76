"""What a site is told when its table is not what the study expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning.contract import Column, DataContract, packaged_file, read_csv, scaled
from schemas.errors import LocalError

CONTRACT = DataContract(
    (Column("age", low=18, high=110), Column("sex", "integer", values=(1, 2)), Column("wt", missing=True)), rows_min=2
)


def table(**columns: list[float]) -> dict[str, np.ndarray]:
    good = {"age": [40.0, 50.0], "sex": [1.0, 2.0], "wt": [np.nan, 3.0]}
    return {name: np.array(values, np.float64) for name, values in {**good, **columns}.items()}


def test_a_good_table_passes() -> None:
    CONTRACT.check(table(), where="ward.csv")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"age": [40.0, 777.0]}, "column age: 1 of 2 rows lie outside 18 to 110"),
        ({"age": [np.nan, np.nan]}, "column age: 2 of 2 rows have no value"),
        ({"age": [np.inf, 40.0]}, "column age: 1 of 2 rows are not finite"),
        ({"sex": [1.0, 777.0]}, "column sex: 1 of 2 rows are none of 1, 2"),
        ({"sex": [1.0, 1.777]}, "column sex: 1 of 2 rows are not whole numbers"),
    ],
)
def test_a_broken_column_is_named_with_the_number_of_rows_and_no_value(
    columns: dict[str, list[float]], said: str
) -> None:
    with pytest.raises(LocalError) as caught:
        CONTRACT.check(table(**columns), where="ward.csv")
    assert said in str(caught.value)
    assert "ward.csv" in str(caught.value)
    assert "777" not in str(caught.value) + caught.value.hint


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(LocalError, match=r"column age.*column sex"):
        CONTRACT.check(table(age=[1.0, 2.0], sex=[3.0, 3.0]), where="ward.csv")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(LocalError, match=r"ward\.csv: no column sex"):
        CONTRACT.check({"age": np.zeros(2), "wt": np.zeros(2)}, where="ward.csv")


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(LocalError, match="1 rows, at least 2"):
        CONTRACT.check(table(age=[40.0], sex=[1.0], wt=[0.0]), where="ward.csv")


def test_csv_marks_become_missing_and_columns_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age, sex\n41,1\n?,2\n")
    read = read_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(read["age"], [41, np.nan])
    np.testing.assert_array_equal(read["sex"], [1, 2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("age,sex\nsecret,1\n3,1\n", "column age: 1 of 2 rows are not numbers"),
        ("age,sex\ninf,1\n", "column age: 1 of 1 rows are not numbers"),
        ("age,sex\n1,2,777\n", "1 of 1 lines do not have 2 fields"),
        ("age,sex\n\xff\n", "UnicodeDecodeError"),
    ],
)
def test_a_bad_file_is_told_without_its_values(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(LocalError) as caught:
        read_csv(tmp_path / "a.csv")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "777" not in str(caught.value)


def test_an_absent_file_or_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"none\.csv cannot be read"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(LocalError, match="no_such_package") as caught:
        packaged_file("no_such_package", "a.csv")
    assert caught.value.hint == "pip install no_such_package"


def test_scaling_needs_nobodys_statistics() -> None:
    values = scaled(table(), {"age": (40, 10), "wt": (1, 2)})
    np.testing.assert_array_equal(values, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(scaled(table(age=[40.0, 99.0]), {"age": (40, 10)})[0], values[0, :1])
