"""What a study expects of a site's table: columns, types, ranges, labels; checked before a patient is used.

Knows:    the columns a task declares, and how many rows break them.
Never:    puts a patient's value into a message.
Imports:  numpy, schemas.errors.   Used by: learning.task, studies, participant.training (preflight).
"""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.errors import LocalError

Table = Mapping[str, NDArray[np.float64]]  # column -> float64 (rows,), NaN where a value is missing


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a number within [low, high], or one of `values`; `missing` says whether NaN is allowed."""

    name: str
    kind: Literal["number", "integer"] = "number"
    low: float = -math.inf
    high: float = math.inf
    values: tuple[float, ...] = ()
    missing: bool = False

    def problems(self, column: NDArray[np.float64]) -> list[tuple[int, str]]:
        """(number of rows, what is wrong with them), only where rows are concerned."""
        absent = np.isnan(column)
        known = column[~absent]
        found = [(int(np.count_nonzero(~np.isfinite(known))), "are not finite")]
        known = known[np.isfinite(known)]
        if not self.missing:
            found.append((int(np.count_nonzero(absent)), "have no value"))
        if self.kind == "integer":
            found.append((int(np.count_nonzero(known != np.rint(known))), "are not whole numbers"))
        if self.values:
            found.append((int(np.count_nonzero(~np.isin(known, self.values))), f"are none of {_listed(self.values)}"))
        outside = np.count_nonzero((known < self.low) | (known > self.high))
        found.append((int(outside), f"lie outside {self.low:g} to {self.high:g}"))
        return [(rows, wrong) for rows, wrong in found if rows]


@dataclass(frozen=True, slots=True)
class DataContract:
    """Every column a task reads. Columns it does not name are ignored."""

    columns: tuple[Column, ...]
    rows_min: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def check(self, table: Table, *, where: str) -> None:
        """Raise LocalError naming every column that breaks the contract and how many rows do, never a value.

        where   what the operator calls this table: a file's name, or the site's
        """
        absent = [name for name in self.names if name not in table]
        if absent:
            raise LocalError(f"{where}: no column {', '.join(absent)}", hint=f"the task reads {', '.join(self.names)}")
        rows = len(table[self.names[0]])
        wrong = [
            f"column {column.name}: {count} of {rows} rows {what}"
            for column in self.columns
            for count, what in column.problems(table[column.name])
        ]
        if rows < self.rows_min:
            wrong.append(f"{rows} rows, at least {self.rows_min} are needed")
        if wrong:
            raise LocalError(
                f"{where} breaks the data contract: {'; '.join(wrong)}",
                hint="correct or leave out these rows, or ask the study's author to widen the contract",
            )


def scaled(table: Table, constants: Mapping[str, tuple[float, float]]) -> NDArray[np.float64]:
    """Columns as (value - centre) / unit, float64 (rows, len(constants)); a missing value becomes 0, the centre.

    constants   column -> (centre, unit), the author's, the same at every site: a normalisation that needs nobody's
                statistics and sees no test patient
    """
    columns = [(table[name] - centre) / unit for name, (centre, unit) in constants.items()]
    return np.nan_to_num(np.stack(columns, axis=1), nan=0.0)


def packaged_file(package: str, name: str) -> Path:
    """A data file that another package ships, found without importing that package. Raises LocalError when absent."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(place) / name).is_file():
            return path
    raise LocalError(f"the data {name} of the package {package} are not installed", hint=f"pip install {package}")


def read_csv(
    path: Path, *, names: Sequence[str] | None = None, skip: int = 0, missing: Sequence[str] = ("", "NA", "?")
) -> Table:
    """Read a comma-separated table of numbers; `missing` marks become NaN.

    names   the columns where the file has no header line; skip: lines at the top that are neither header nor row

    Raises LocalError when the file cannot be read, a line has another number of fields, or a column holds something
    that is not a number (how many rows, never which value).
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [[field.strip() for field in line] for line in csv.reader(file) if line][skip:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LocalError(f"{path.name} cannot be read: {type(error).__name__}", hint=f"looked for {path}") from error
    header = list(names) if names is not None else (lines.pop(0) if lines else [])
    ragged = sum(len(line) != len(header) for line in lines)
    if ragged:
        raise LocalError(f"{path.name}: {ragged} of {len(lines)} lines do not have {len(header)} fields")
    columns = zip(*lines, strict=True) if lines else [() for _ in header]
    return {name: _numbers(path.name, name, column, missing) for name, column in zip(header, columns, strict=True)}


def _numbers(where: str, name: str, column: Sequence[str], missing: Sequence[str]) -> NDArray[np.float64]:
    numbers = np.full(len(column), np.nan)
    wrong = 0
    for row, text in enumerate(column):
        if text in missing:
            continue
        try:
            numbers[row] = float(text)
        except ValueError:
            wrong += 1
            continue
        wrong += not math.isfinite(numbers[row])
    if wrong:
        raise LocalError(f"{where}: column {name}: {wrong} of {len(column)} rows are not numbers")
    return numbers


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
