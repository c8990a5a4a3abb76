"""What a site is told when its table is not what the study expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.contract import Column, DataContract, packaged_file, read_csv, scaled
from learning.quarantine import Quarantine, SetAside
from schemas.errors import LocalError

CONTRACT = DataContract(
    (Column("age", low=18, high=110), Column("sex", "integer", values=(1, 2)), Column("wt", missing=True)), rows_min=2
)


CONTRACT_OF_TWO = DataContract((Column("age"), Column("sex")))


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
        ("age,sex\n\xff\n", "is not written in utf-8"),
    ],
)
def test_a_bad_file_is_told_without_its_values(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(LocalError) as caught:
        CONTRACT_OF_TWO.check(read_csv(tmp_path / "a.csv"), where="a.csv")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "777" not in str(caught.value)


def test_an_absent_file_or_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"none\.csv cannot be read"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(LocalError, match="no_such_package") as caught:
        packaged_file("no_such_package", "a.csv")
    assert "`make`" in caught.value.hint


def test_scaling_needs_nobodys_statistics() -> None:
    values = scaled(table(), {"age": (40, 10), "wt": (1, 2)})
    np.testing.assert_array_equal(values, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(scaled(table(age=[40.0, 99.0]), {"age": (40, 10)})[0], values[0, :1])


def sifted(share_max: float, **columns: list[float]) -> tuple[Quarantine, dict[str, np.ndarray], list[int]]:
    quarantine = Quarantine(share_max)
    kept, rows = CONTRACT.sift(table(**columns), where="ward.csv", quarantine=quarantine)
    return quarantine, dict(kept), rows.tolist()


AGES = [40.0, 777.0, 50.0, np.nan, 60.0]
SEXES = [1.0, 1.5, 2.0, 1.0, 2.0]
WEIGHTS = [np.nan, 1.0, 2.0, 3.0, 4.0]


def test_bad_records_are_set_aside_and_counted_by_column_and_rule() -> None:
    quarantine, kept, rows = sifted(0.5, age=AGES, sex=SEXES, wt=WEIGHTS)
    assert rows == [0, 2, 4]
    assert kept["age"].tolist() == [40.0, 50.0, 60.0]
    assert (quarantine.records, quarantine.set_aside) == (5, 2)
    assert quarantine.counts == (
        SetAside("ward.csv", "age", "missing", 1),
        SetAside("ward.csv", "age", "out-of-range", 1),
        SetAside("ward.csv", "sex", "not-whole", 1),
        SetAside("ward.csv", "sex", "unknown-value", 1),
    )


def test_one_bad_record_more_than_the_plan_allows_refuses_them_all_and_shows_no_value() -> None:
    with pytest.raises(LocalError, match="2 of 5 records") as caught:
        sifted(0.39, age=AGES, sex=SEXES, wt=WEIGHTS)
    assert "40.0%" in str(caught.value)
    assert "column age: 1 lie outside 18 to 110" in str(caught.value)
    assert "777" not in str(caught.value) + caught.value.hint
    sifted(0.4, age=AGES, sex=SEXES, wt=WEIGHTS)


def test_a_plan_that_allows_none_refuses_the_first_bad_record() -> None:
    with pytest.raises(LocalError, match="1 of 2 rows lie outside"):
        sifted(0.0, age=[40.0, 777.0])
    quarantine, _, rows = sifted(0.0)
    assert rows == [0, 1]
    assert quarantine.set_aside == 0


def test_what_is_left_after_sifting_must_be_enough() -> None:
    with pytest.raises(LocalError, match="1 rows, at least 2"):
        sifted(0.5, age=[40.0, 777.0])


TEXT = "age,sex,wt\n40,1,NA\n50,2\nold,1,2\n60,2,inf\n70,2,3\n80,9,3\n"


def test_lines_that_are_no_rows_of_numbers_are_set_aside_too(tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_text(TEXT)
    quarantine = Quarantine(0.7)
    read = read_csv(tmp_path / "ward.csv", quarantine=quarantine)
    kept, rows = CONTRACT.sift(read, where="ward.csv", quarantine=quarantine)
    assert kept["age"].tolist() == [40.0, 70.0]
    assert rows.tolist() == [0, 3]
    assert (quarantine.records, quarantine.set_aside) == (6, 4)
    assert {(one.column, one.rule): one.records for one in quarantine.counts} == {
        ("-", "fields"): 1,
        ("age", "not-a-number"): 1,
        ("wt", "not-a-number"): 1,
        ("sex", "unknown-value"): 1,
    }


def test_reading_and_sifting_share_one_limit(tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_text(TEXT)
    quarantine = Quarantine(0.6)
    read = read_csv(tmp_path / "ward.csv", quarantine=quarantine)
    with pytest.raises(LocalError, match="4 of 6 records") as caught:
        CONTRACT.sift(read, where="ward.csv", quarantine=quarantine)
    assert "old" not in str(caught.value)


@settings(deadline=None)
@given(
    ages=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    share_max=st.floats(0.01, 1.0),
)
def test_what_is_kept_keeps_the_contract_and_nothing_is_lost_uncounted(ages: list[float], share_max: float) -> None:
    contract, quarantine = DataContract((Column("age", "integer", 18, 110),), rows_min=0), Quarantine(share_max)
    column = {"age": np.array(ages)}
    try:
        kept, rows = contract.sift(column, where="ward", quarantine=quarantine)
    except LocalError:
        assert quarantine.set_aside > share_max * len(ages)
        return
    contract.check(kept, where="ward")
    assert len(rows) + quarantine.set_aside == len(ages)
    assert np.array_equal(column["age"][rows], kept["age"])
