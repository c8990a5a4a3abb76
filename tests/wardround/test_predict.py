"""`wardround predict`: a file with a row for every row of the table, written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.models import header_of
from learning.entry import folder_digest
from learning.model_file import write_model
from protocol.digests import digest_of
from tests.wardround import synthetic
from wardround import open_model
from wardround.cli import main

FOLDER = Path(__file__).parents[2] / "studies" / "linear_regression"
ENTRY = "studies.linear_regression.task:task"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """y = 1 + 2x, as `wardround model export` writes it."""
    vector = np.array([1, 2], np.float32)
    header = replace(
        header_of(synthetic.history(), 3),
        task=ENTRY,
        code=folder_digest(FOLDER).hex(),
        parameters=2,
        model=digest_of([vector.tobytes()]).hex(),
    )
    write_model(tmp_path / "line.safetensors", {"parameters": vector}, header)
    return tmp_path / "line.safetensors"


def predict(model: Path, text: str, *more: str) -> int:
    table = model.with_name("new.csv")
    table.write_text(text, encoding="utf-8")
    return main(["predict", str(model), str(table), "--out", str(model.with_name("predictions.csv")), *more])


def test_predictions_are_written_row_for_row_and_what_has_none_is_said(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(exported, "x,ward\n1,north\n99,south\n2\n-1,west\n", "--study", str(FOLDER), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["problems"], said["broken_lines"]) == (3, {"x: out-of-range": 1}, {"fields": 1})
    with exported.with_name("predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["y"], row["problem"]) for row in rows] == [
        ("2", "3.0", ""), ("3", "", "x: out-of-range"), ("5", "-1.0", ""),
    ]  # fmt: skip


def test_a_spreadsheets_table_is_read_by_options(exported: Path) -> None:
    assert predict(exported, "x;z\n0,5;1\n", "--delimiter", ";", "--decimal", ",") == 0
    assert "2.0" in exported.with_name("predictions.csv").read_text()


def test_cells_with_the_other_decimal_mark_name_the_option_that_reads_them(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(exported, "x;z\n0,5;1\n", "--delimiter", ";") == 0
    assert 'decimal = ","' in capsys.readouterr().out
    assert predict(exported, "x;z\nhigh;1\n", "--delimiter", ";") == 0
    assert "hint" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("age\n1\n", [], "no header line"),
        ("x\n1\n", ["--study", "/nowhere/ward"], "does not lie in"),
        ("x\n1\n", ["--delimiter", ";;"], "delimiter"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    exported: Path, text: str, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(exported, text, *more) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in exported.parent.iterdir()) == ["line.safetensors", "new.csv"]


def test_the_table_is_never_written_over(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = exported.with_name("new.csv")
    table.write_text("x\n1\n")
    assert main(["predict", str(exported), str(table), "--out", str(table)]) == 2
    assert "the table itself" in capsys.readouterr().err
    assert table.read_text() == "x\n1\n"


def test_the_model_is_never_written_over(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = exported.read_bytes()
    assert predict(exported, "x\n1\n", "--out", str(exported)) == 2
    assert "the model itself" in capsys.readouterr().err
    assert exported.read_bytes() == before


def test_a_model_of_another_task_than_is_here_is_refused(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = replace(header_of(synthetic.history(), 3), task=ENTRY, code="0" * 64)
    write_model(exported, {"parameters": np.zeros(2, np.float32)}, header)
    assert predict(exported, "x\n1\n") == 2
    assert "digest" in capsys.readouterr().err


def test_a_notebook_predicts_without_a_file(exported: Path) -> None:
    model = open_model(exported, study=FOLDER)
    assert model.predict({"x": np.array([0.0, 3.0])})["y"].tolist() == [1.0, 7.0]
    table = exported.with_name("new.csv")
    table.write_text("x\n1\n")
    assert [piece.values["y"].tolist() for piece in model.predict_file(table)] == [[3.0]]


def test_a_full_disk_leaves_no_part_of_a_file(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert predict(exported, "x\n1\n") == 2
    assert not list(exported.parent.glob("*.part"))
