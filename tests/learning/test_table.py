"""Reading tables as hospitals have them: read right, or refused with the way out and without a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.contract import Column, DataContract, read_chunks, read_csv
from learning.quarantine import LabelShare, Quarantine
from learning.task import DataSource
from schemas.errors import LocalError

WARD = DataContract(
    (
        Column("patient", "text"),
        Column("age", low=0, high=120),
        Column("sex", "category", values=("F", "M"), missing=True),
        Column("ill", values=(0, 1), label=True),
    )
)


def source(folder: Path, content: str | bytes, options: dict[str, str] | None = None, share: float = 0.0) -> DataSource:
    (folder / "ward.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return DataSource("site-1", folder, options or {}, Quarantine(share))


def read(folder: Path, content: str | bytes, options: dict[str, str] | None = None) -> dict[str, list[object]]:
    table = source(folder, content, options).table(WARD, "ward.csv")
    return {name: column.tolist() for name, column in table.items()}


def refused(
    folder: Path, content: str | bytes, options: dict[str, str] | None = None, share: float = 0.0
) -> LocalError:
    with pytest.raises(LocalError) as caught:
        source(folder, content, options, share).table(WARD, "ward.csv")
    return caught.value


def test_columns_nobody_named_are_passed_over_and_identifiers_and_words_are_text(tmp_path: Path) -> None:
    table = read(
        tmp_path, 'patient,name,sex,age,ill,note\nP001,"Mueller, K",F,65,0,"came in\nsleepy"\n007,Ito,M,70,1,\n'
    )
    assert table == {"patient": ["P001", "007"], "age": [65, 70], "sex": [0, 1], "ill": [0, 1]}


def test_a_table_without_its_header_line_is_said_and_nothing_of_it_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, "3000,Mueller-Luedenscheidt,44,1\n3001,Ito,45,0\n")
    assert "no header line" in str(error)
    assert "patient, age, sex, ill" in error.hint
    assert "Mueller" not in str(error) + error.hint


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("patient,age,sex,ill,age", "more than one column age"),
        ("patient,sex,ill", "no column age"),
        ("patient,Age,sex,ill", "column age is written otherwise"),
        ("", "no header line"),
    ],
)
def test_a_header_line_that_does_not_fit_is_said_by_the_tasks_own_names(tmp_path: Path, header: str, said: str) -> None:
    assert said in str(refused(tmp_path, f"{header}\n1,2,F,1,3\n"))


def test_two_columns_of_one_name_that_nobody_reads_do_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, "x,patient,x,age,sex,ill,,\n,1,,50,F,1,,\n")["age"] == [50]
    (tmp_path / "ward.csv").write_text("x,Mueller,Mueller\n1,2,3\n")
    with pytest.raises(LocalError, match="columns 2, 3 have one name"):
        read_csv(tmp_path / "ward.csv")


def test_a_quote_that_nothing_closes_is_counted_by_the_lines_it_swallowed(tmp_path: Path) -> None:
    lines = [f"{number},40,F,{number % 2}" for number in range(60)]
    lines[30] = '30,"40,F,0'
    content = "patient,age,sex,ill\n" + "\n".join(lines) + "\n"
    error = refused(tmp_path, content, share=0.1)
    assert "30 of 60 records (50.0%)" in str(error)
    kept = source(tmp_path, content, share=0.6)
    assert len(kept.table(WARD, "ward.csv")["age"]) == 30
    assert kept.quarantine.set_aside == 30


@pytest.mark.parametrize(
    ("cell", "after"),
    [('"40', 'x,40,"F",1'), ('40,"F', '3,41,"M",0'), ('"40,F,1\n5,41,F,0\n6,"', "7,50,M,1")],
)
def test_a_quote_that_closes_in_another_row_never_mixes_two_patients(tmp_path: Path, cell: str, after: str) -> None:
    kept = source(tmp_path, f"patient,age,sex,ill\n1,30,F,1\n2,{cell},F,1\n{after}\n9,90,M,0\n", share=0.9)
    table = kept.table(WARD, "ward.csv")
    lines = (tmp_path / "ward.csv").read_text().count("\n") - 1
    assert {"1", "9"} <= set(table["patient"].tolist()) <= {"1", "7", "9"}
    assert len(table["age"]) + kept.quarantine.set_aside == lines


BOM = "\ufeffpatient,age,sex,ill\n1,50,F,1\n"
SEMICOLON = "patient;age;sex;ill\r\n1;50,5;F;1\r\n"


def test_a_mark_of_utf_8_before_another_encoding_is_named_not_taken_for_a_column(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="begins with the mark of utf-8") as caught:
        read(tmp_path, BOM.encode(), {"encoding": "cp1252"})
    assert 'encoding = "utf-8"' in caught.value.hint


READ_BY = [
    (BOM.encode(), {}, 50),
    (SEMICOLON.encode(), {"delimiter": ";", "decimal": ","}, 50.5),
    (SEMICOLON.replace(";", "\t").encode(), {"delimiter": "tab", "decimal": ","}, 50.5),
    ("patient,age,sex,ill,town\n1,50,F,1,Süd\n".encode("latin-1"), {"encoding": "latin-1"}, 50),
    (BOM.encode("utf-16"), {"encoding": "utf-16"}, 50),
    (b"patient,age,sex,ill\r1,50,F,1\r", {}, 50),
    (b"patient,age,sex,ill\n1,50,NULL,1\n", {"missing": "NULL, -99"}, 50),
    (b"sep=;\npatient;age;sex;ill\n1;50;F;1\n", {"delimiter": ";"}, 50),
]


@pytest.mark.parametrize(("content", "options", "age"), READ_BY)
def test_what_spreadsheets_export_is_read_by_options(
    tmp_path: Path, content: bytes, options: dict[str, str], age: float
) -> None:
    assert read(tmp_path, content, options)["age"] == [age]


@pytest.mark.parametrize(("content", "options", "age"), [one for one in READ_BY if "missing" not in one[1]])
def test_without_its_options_it_is_refused_by_a_message_that_names_the_one_that_reads_it(
    tmp_path: Path, content: bytes, options: dict[str, str], age: float
) -> None:
    if not options:
        return
    hint = refused(tmp_path, content).hint
    assert all(name in hint for name in options)
    assert options.get("delimiter", "") in hint


def test_decimal_commas_alone_are_named_too(tmp_path: Path) -> None:
    content = "patient;age;sex;ill\n1;50,5;F;1\n2;51;M;0\n"
    assert 'decimal = ","' in refused(tmp_path, content, {"delimiter": ";"}).hint
    assert 'decimal = ","' in refused(tmp_path, content, {"delimiter": ";"}, 0.1).hint


@pytest.mark.parametrize(
    ("magic", "said"),
    [(b"PK\x03\x04rest", "workbook"), (b"\x1f\x8brest", "compressed"), (b"PAR1", "Parquet"), (b"%PDF-1", "PDF")],
)
def test_a_file_of_another_kind_is_told_apart(tmp_path: Path, magic: bytes, said: str) -> None:
    assert said in str(refused(tmp_path, magic))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimiter": "ab"}, "delimiter"),
        ({"delimiter": ","} | {"decimal": ","}, "the same sign"),
        ({"decimal": "x"}, "decimal"),
        ({"encoding": "utf-9"}, "encoding"),
        ({"encoding": "rot13"}, "encoding"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: dict[str, str], said: str) -> None:
    assert said in str(refused(tmp_path, BOM, options))


def test_a_column_of_text_where_numbers_are_expected_is_no_matter_of_bad_records(tmp_path: Path) -> None:
    content = "patient,age,sex,ill\n" + "".join(f"{n},fifty,F,1\n" for n in range(10))
    for share in (0.0, 0.2):
        error = refused(tmp_path, content, share=share)
        assert "column age" in str(error)
        assert "bad_records_max" not in error.hint
        assert "kind" in error.hint or '"text"' in error.hint


def test_the_share_of_each_label_among_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    rows = [(str(n), "> 89" if n < 5 else "301" if n < 8 else "50", "F", "1" if n < 10 else "0") for n in range(40)]
    content = "patient,age,sex,ill\n" + "".join(",".join(row) + "\n" for row in rows)
    kept = source(tmp_path, content, share=0.2)
    kept.table(WARD, "ward.csv")
    assert kept.quarantine.labels == (
        LabelShare("ward.csv", "ill", "0", 30, 0),
        LabelShare("ward.csv", "ill", "1", 10, 8),
    )


def test_a_contract_without_its_labels_reads_patients_whose_outcome_nobody_knows(tmp_path: Path) -> None:
    found = source(tmp_path, "patient,age,sex\n1,50,M\n").table(WARD.unlabelled(), "ward.csv")
    assert found["sex"].tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sex", "category"), "needs the words"),
        (("sex", "number", -1, 1, ("F", "M")), "does not hold words"),
        (("id", "text", 0, 1), "no range"),
        (("id", "string"), "is none of"),
    ],
)
def test_a_column_that_makes_no_sense_is_refused_where_it_is_written(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(LocalError, match=said):
        Column(*arguments)  # type: ignore[arg-type]  # what an author may type


@pytest.mark.parametrize("columns", [(), (Column("age"), Column("age"))])
def test_a_contract_of_nothing_or_of_one_name_twice_is_refused(columns: tuple[Column, ...]) -> None:
    with pytest.raises(LocalError, match="the data contract names"):
        DataContract(columns)


def test_a_long_table_is_read_in_pieces_with_the_lines_they_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("patient,age,sex,ill\n" + "".join(f"{n},{n % 100},F,1\n" for n in range(25)) + "x,old,F,1\n1,2\n")
    pieces = list(read_chunks(path, WARD.columns, rows=10))
    assert [len(piece.lines) for piece in pieces] == [10, 10, 6]
    assert pieces[1].lines[0] == 12
    assert pieces[2].bad.tolist() == [False] * 5 + [True]
    assert pieces[2].broken.total() == 1


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.text(st.sampled_from('0123456789,;"\n\r\t .FMx-'), max_size=200), share=st.sampled_from([0.0, 0.5, 1.0])
)
def test_whatever_stands_in_a_file_every_line_is_read_or_counted_and_errors_are_ours(
    tmp_path_factory: pytest.TempPathFactory, content: str, share: float
) -> None:
    kept = source(tmp_path_factory.mktemp("t"), "patient,age,sex,ill\n" + content, share=share)
    try:
        table = kept.table(WARD, "ward.csv")
    except LocalError:
        return
    assert len(table["age"]) + kept.quarantine.set_aside == kept.quarantine.records
    assert np.isfinite(table["age"]).all()
