"""Predictions for a table: row for row, whatever its length, with the reason where there is none."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.columns import Table
from learning.contract import Column, DataContract, scaled
from learning.formats import Format
from learning.model_file import ModelHeader, write_model
from learning.outputs import logistic, softmax
from learning.predicting import Model, Predicted, write_predictions
from learning.task import DataSource, SiteData
from learning.torch_task import Batch, TorchTask
from protocol.digests import digest_of
from schemas.errors import LocalError


class Ward(TorchTask):
    metric, higher_is_better = "accuracy", True
    contract = DataContract(
        (
            Column("patient", "text"),
            Column("age", low=18, high=110),
            Column("sex", "category", values=("F", "M"), missing=True),
            Column("ill", values=(0, 1), label=True),
        )
    )

    def model(self) -> nn.Module:
        return nn.Linear(2, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.inputs)[:, 0], batch.targets.float())

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"accuracy": float(((outputs[:, 0] > 0) == targets).mean())}

    def inputs(self, table: Table) -> NDArray[np.float64]:
        return scaled(table, {"age": (60, 15), "sex": (0.5, 1)})

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"probability": logistic(outputs[:, 0])}

    def load(self, source: DataSource) -> SiteData:
        raise AssertionError("predicting loads no site")


class Raw(Ward):
    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return TorchTask.predictions(self, outputs)


VECTOR = np.array([2, -1, 0.5], np.float32)  # weights of age and sex, bias
HEADER = ModelHeader(
    "ward", "Ward", "1" * 64, 3, digest_of([VECTOR.tobytes()]).hex(), 3, "ward.task:task", "2" * 64, "accuracy", True,
    None, 0, (),
)  # fmt: skip


def model(task: TorchTask | None = None) -> Model:
    return Model(HEADER, task or Ward(), VECTOR)


def rows_of(folder: Path, text: str, how: Format | None = None, task: TorchTask | None = None) -> list[list[str]]:
    """predictions.csv of a table, as lists of cells."""
    path = folder / "new.csv"
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    for _ in write_predictions(out, model(task).predict_file(path, how)):
        pass
    return list(csv.reader(io.StringIO(out.getvalue())))


def by_hand(age: float, sex: float) -> float:
    return float(1 / (1 + np.exp(-(2 * (age - 60) / 15 - (sex - 0.5) + 0.5))))


def test_every_row_has_its_prediction_and_its_identifier_without_a_label(tmp_path: Path) -> None:
    head, *rows = rows_of(tmp_path, "name,patient,age,sex\nA,007,75,F\nB,7,45,M\n")
    assert head == ["line", "patient", "probability", "problem"]
    assert [row[:2] for row in rows] == [["2", "007"], ["3", "7"]]
    assert [float(row[2]) for row in rows] == pytest.approx([by_hand(75, 0), by_hand(45, 1)], abs=1e-6)
    assert [row[3] for row in rows] == ["", ""]


def test_a_row_that_breaks_the_contract_says_which_rule_and_the_others_are_predicted(tmp_path: Path) -> None:
    text = "patient,age,sex\na,75,F\nb,12,F\nc,old,M\nd,60,X\n,60,F\nf,60,\n"
    rows = rows_of(tmp_path, text)[1:]
    assert [row[3] for row in rows] == [
        "", "age: out-of-range", "age: not-a-number", "sex: unknown-value", "patient: missing", "",
    ]  # fmt: skip
    assert [bool(row[2]) for row in rows] == [True, False, False, False, False, True]


def test_lines_that_are_no_rows_are_counted_and_the_others_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("patient,age,sex\na,75,F\nb,75\nc,60,M\n")
    summaries = list(write_predictions(io.StringIO(), model().predict_file(path)))
    assert (summaries[-1].rows, dict(summaries[-1].broken), summaries[-1].problems) == (2, {"fields": 1}, {})
    assert [row[0] for row in rows_of(tmp_path, path.read_text())[1:]] == ["2", "4"]


def test_a_table_is_read_as_its_options_say(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "patient;age;sex\na;75,5;F\n", Format(";", ","))
    assert float(rows[1][2]) == pytest.approx(by_hand(75.5, 0), abs=1e-6)


@given(st.integers(1, 40), st.integers(1, 7))
def test_a_long_table_in_pieces_gives_what_it_gives_at_once(count: int, piece: int) -> None:
    rng = np.random.default_rng(count)
    table = {
        "patient": np.array([str(row) for row in range(count)], object),
        "age": rng.uniform(18, 110, count),
        "sex": rng.integers(0, 2, count).astype(float),
    }
    whole = model().predict(table)["probability"]
    parts = [
        model().predict({name: column[at : at + piece] for name, column in table.items()})["probability"]
        for at in range(0, count, piece)
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6)


def test_a_table_without_a_row_gives_a_file_with_its_header(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "patient,age,sex\n") == [["line", "patient", "probability", "problem"]]
    assert rows_of(tmp_path, "patient,age,sex\nb,12,F\n")[1][2:] == ["", "age: out-of-range"]


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no column sex"):
        rows_of(tmp_path, "patient,age\na,75\n")


def test_outputs_without_a_name_are_numbered(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "patient,age,sex\na,75,F\n", task=Raw())[0][2] == "output"
    two = Raw().predictions(np.array([[1.0, 2.0]], np.float32))
    assert {name: column.tolist() for name, column in two.items()} == {"output-1": [1.0], "output-2": [2.0]}
    assert list(Raw().predictions(np.zeros((0, 2)))) == ["output-1", "output-2"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "have no columns"),
        ({"probability": np.zeros((1, 2))}, "probability do not have one value a row"),
        ({"patient": np.zeros(1)}, "two columns patient"),
    ],
)
def test_predictions_that_are_no_columns_of_the_rows_are_refused(
    named: dict[str, NDArray[Any]], said: str, tmp_path: Path
) -> None:
    class Wrong(Ward):
        def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
            return named

    with pytest.raises(LocalError, match=said):
        rows_of(tmp_path, "patient,age,sex\na,75,F\n", task=Wrong())


def test_a_task_that_drops_rows_in_its_inputs_is_refused(tmp_path: Path) -> None:
    class Dropping(Ward):
        def inputs(self, table: Table) -> NDArray[np.float64]:
            return super().inputs(table)[1:]

    with pytest.raises(LocalError, match="0 inputs of 1 rows"):
        rows_of(tmp_path, "patient,age,sex\na,75,F\n", task=Dropping())


def test_a_model_is_read_with_its_task_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    task = Ward()
    write_model(tmp_path / "m.safetensors", task.state(VECTOR), HEADER)
    np.testing.assert_array_equal(Model.read(tmp_path / "m.safetensors", task).vector, VECTOR)
    write_model(tmp_path / "m.safetensors", task.state(VECTOR + 1), HEADER)
    with pytest.raises(LocalError, match="does not hold the model"):
        Model.read(tmp_path / "m.safetensors", task)


def test_what_is_predicted_stays_out_of_messages() -> None:
    piece = Predicted(np.array([1]), {"patient": np.array(["Mueller"], object)}, {"p": np.array([0.5])}, ("",), {})
    assert "Mueller" not in repr(piece)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_probabilities_are_between_0_and_1_and_sum_up(scores: list[float]) -> None:
    given_scores = np.array(scores)
    assert ((logistic(given_scores) >= 0) & (logistic(given_scores) <= 1)).all()
    assert softmax(given_scores[None])[0].sum() == pytest.approx(1)
    assert logistic(np.array([0.0, 1e6, -1e6])).tolist() == [0.5, 1.0, 0.0]
