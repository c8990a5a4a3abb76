"""Predictions for patients in a table: the task's own preprocessing and model, piece by piece, row for row.

Knows:    a row that breaks the contract has no prediction and its reason; labels are not needed.
Never:    holds more than a piece of the table; puts a patient's value into a message.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from learning.blame import authors_code, folder_of
from learning.columns import Table
from learning.contract import DataContract
from learning.formats import Format
from learning.model_file import ModelHeader, check_state, read_model
from learning.table import Chunk, read_chunks
from learning.task import Patients, Task, Vector
from schemas.errors import LocalError

LINE, PROBLEM = "line", "problem"


@dataclass(frozen=True, slots=True)
class Predicted:
    """What became of some rows of a table, in their order. Arrays stay out of `repr`.

    lines     int64 (rows,): where in the file each row begins, from 1
    texts     column -> (rows,): the contract's columns of text, e.g. the patient's identifier
    values    column -> (rows,): the predictions; of a row with a problem they are of no meaning
    problems  (rows,): "" or what is wrong with the row, as column: rule
    broken    rule -> how many lines between these are no rows at all
    hint      the option that reads cells which could not be read, "" for none
    """

    lines: NDArray[np.int64] = field(repr=False)
    texts: Mapping[str, NDArray[Any]] = field(repr=False)
    values: Mapping[str, NDArray[Any]] = field(repr=False)
    problems: tuple[str, ...] = field(repr=False)
    broken: Mapping[str, int]
    hint: str = ""


class Model:
    """An exported model with its task: predicts for tables and for arrays."""

    def __init__(self, header: ModelHeader, task: Task, vector: Vector) -> None:
        self.header, self.task, self.vector = header, task, vector
        self.contract: DataContract = task.contract.unlabelled()

    @classmethod
    def read(cls, path: Path, task: Task) -> Model:
        """Raises LocalError when the file is damaged, or its state is another task's."""
        header, state = read_model(path)
        vector = task.vector_of(state)
        check_state(vector, header, where=str(path))
        return cls(header, task, vector)

    def predict(self, table: Table) -> dict[str, NDArray[Any]]:
        """Predictions by name, (rows,) each, for a table that keeps the contract, its label columns aside.

        Raises LocalError when the task fails, with its line and without a patient's value.
        """
        with authors_code("predicting", folder_of(self.task), patients=True):
            return self._predict(table)

    def _predict(self, table: Table) -> dict[str, NDArray[Any]]:
        inputs = self.task.inputs(table)
        rows = len(next(iter(table.values()))) if table else 0
        if len(inputs) != rows:
            raise LocalError(
                f"the task made {len(inputs)} inputs of {rows} rows",
                hint="`inputs` gives one input a row, in their order",
            )
        outputs = self.task.predict(self.vector, Patients(inputs, np.zeros(rows, np.int64)))
        named = self.task.predictions(outputs)
        wrong = [name for name, column in named.items() if np.shape(column) != (rows,)]
        if wrong or not named:
            raise LocalError(
                f"the task's predictions {', '.join(wrong) or 'have no columns, they'} do not have one value a row",
                hint="`predictions` gives arrays (rows,) by name",
            )
        return {name: np.asarray(column) for name, column in named.items()}

    def predict_file(self, path: Path, how: Format | None = None) -> Iterator[Predicted]:
        """The same for a table in a file, of any length. Raises LocalError when it cannot be read."""
        how = how or Format(missing=self.contract.missing)
        for chunk in read_chunks(path, self.contract.columns, how=how):
            yield self._predicted(chunk, how)

    def _predicted(self, chunk: Chunk, how: Format) -> Predicted:
        problems = _problems(self.contract, chunk)
        whole = np.array([not said for said in problems], np.bool_)
        made = self.predict({name: column[whole] for name, column in chunk.table.items()})
        values = {}
        for name, column in made.items():
            values[name] = np.zeros(len(whole), column.dtype)
            values[name][whole] = column
        texts = {one.name: chunk.table[one.name] for one in self.contract.columns if one.kind == "text"}
        broken = {rule: n for rule, n in chunk.broken.items() if n}
        hint = how.option("decimal", how.other_decimal) if chunk.other_decimal else ""
        return Predicted(chunk.lines, texts, values, problems, broken, hint)


@dataclass(slots=True)
class Summary:
    """What a written file holds; `problems` counts rows by what is wrong, `broken` lines that are no rows.

    hint     the option that reads cells which could not be read, "" for none
    """

    rows: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    hint: str = ""


def write_predictions(file: IO[str], pieces: Iterator[Predicted]) -> Iterator[Summary]:
    """Write pieces as CSV, one line a row of the table, and tell after each what was written so far.

    Columns: line (in the table's file), the table's columns of text, the predictions, problem.
    """
    writer, summary, header = csv.writer(file, lineterminator="\n"), Summary(), False
    for piece in pieces:
        if not header:
            _refuse_clash(piece)
            writer.writerow([LINE, *piece.texts, *piece.values, PROBLEM])
            header = True
        columns = [piece.lines.tolist(), *(column.tolist() for column in piece.texts.values())]
        shown = [_shown(column, piece.problems) for column in piece.values.values()]
        writer.writerows(zip(*columns, *shown, piece.problems, strict=True))
        summary.rows += len(piece.lines)
        summary.problems.update(said for said in piece.problems if said)
        summary.broken.update(piece.broken)
        summary.hint = summary.hint or piece.hint
        yield summary


def _shown(column: NDArray[Any], problems: tuple[str, ...]) -> list[str]:
    """Numbers in their shortest form that reads back the same; nothing where there is a problem."""
    return ["" if problem else str(value) for value, problem in zip(column, problems, strict=True)]


def _refuse_clash(piece: Predicted) -> None:
    names = [LINE, *piece.texts, *piece.values, PROBLEM]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LocalError(
            f"the predictions would have two columns {', '.join(twice)}",
            hint="name what `predictions` gives otherwise than the contract's columns of text",
        )


def _problems(contract: DataContract, chunk: Chunk) -> tuple[str, ...]:
    """For each row what it breaks first of the contract, as column: rule; "" for none."""
    found = np.full(len(chunk.lines), "", object)
    for column in contract.columns:
        unread = chunk.unread.get(column.name, np.zeros(len(chunk.lines), np.bool_))
        faults = [(column.unread[0], unread)]
        faults += [(rule, rows & ~unread) for rule, _, rows in column.faults(chunk.table[column.name])]
        for rule, rows in faults:
            found[rows & (found == "")] = f"{column.name}: {rule}"
    return tuple(found.tolist())
