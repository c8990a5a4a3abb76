"""What a study expects of a site's table: columns, types, ranges, labels; checked before a patient is used.

Knows:    the columns a task declares, how many rows break them, and which rows those are.
Never:    puts a patient's value into a message.
Imports:  numpy, learning.quarantine, schemas.errors.   Used by: learning.task, studies, participant.training.
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

from learning.quarantine import Quarantine
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

    def faults(self, column: NDArray[np.float64]) -> list[tuple[str, str, NDArray[np.bool_]]]:
        """(rule, what it says of the rows that break it, which rows those are), for every rule of this column."""
        absent, finite = np.isnan(column), np.isfinite(column)
        rules = [("not-finite", "are not finite", ~absent & ~finite)]
        if not self.missing:
            rules.append(("missing", "have no value", absent))
        if self.kind == "integer":
            rules.append(("not-whole", "are not whole numbers", finite & (column != np.rint(column))))
        if self.values:
            unknown = finite & ~np.isin(column, self.values)
            rules.append(("unknown-value", f"are none of {_listed(self.values)}", unknown))
        outside = finite & ((column < self.low) | (column > self.high))
        rules.append(("out-of-range", f"lie outside {self.low:g} to {self.high:g}", outside))
        return rules


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
        self._check_columns(table, where)
        rows = len(table[self.names[0]])
        wrong = [
            f"column {column.name}: {np.count_nonzero(bad)} of {rows} rows {said}"
            for column in self.columns
            for _, said, bad in column.faults(table[column.name])
            if bad.any()
        ]
        if rows < self.rows_min:
            wrong.append(f"{rows} rows, at least {self.rows_min} are needed")
        if wrong:
            raise LocalError(
                f"{where} breaks the data contract: {'; '.join(wrong)}",
                hint="correct or leave out these rows, or ask the study's author to widen the contract",
            )

    def sift(self, table: Table, *, where: str, quarantine: Quarantine) -> tuple[Table, NDArray[np.intp]]:
        """The rows that keep the contract, and their numbers in `table`; the others are set aside and counted.

        Raises LocalError as `check` does when the quarantine takes nothing, when it takes no more, and when a column or
        too many rows are missing.
        """
        if not quarantine.tolerant:
            self.check(table, where=where)
            return table, np.arange(len(table[self.names[0]]))
        self._check_columns(table, where)
        bad = np.zeros(len(table[self.names[0]]), np.bool_)
        quarantine.read(where, len(bad))
        for column in self.columns:
            for rule, said, rows in column.faults(table[column.name]):
                quarantine.note(where, column.name, rule, int(np.count_nonzero(rows)), said)
                bad |= rows
        quarantine.put(where, int(np.count_nonzero(bad)))
        kept = {name: column[~bad] for name, column in table.items()}
        self.check(kept, where=where)
        return kept, np.flatnonzero(~bad)

    def _check_columns(self, table: Table, where: str) -> None:
        absent = [name for name in self.names if name not in table]
        if absent:
            raise LocalError(f"{where}: no column {', '.join(absent)}", hint=f"the task reads {', '.join(self.names)}")


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
    raise LocalError(
        f"the data {name} of the package {package} are not installed",
        hint="`make` in wardround's checkout installs what its studies need; for another task ask the task's author",
    )


def read_csv(
    path: Path,
    *,
    names: Sequence[str] | None = None,
    skip: int = 0,
    missing: Sequence[str] = ("", "NA", "?"),
    quarantine: Quarantine | None = None,
) -> Table:
    """Read a comma-separated table of numbers; `missing` marks become NaN.

    names       the columns where the file has no header line; skip: lines at the top that are neither header nor row
    quarantine  takes lines with another number of fields, and rows that hold something that is not a number; without
                one, or when it takes nothing, such a line refuses the whole file

    Raises LocalError when the file cannot be read, or a line or a column is not as it must be (how many rows, never
    which value).
    """
    quarantine = quarantine or Quarantine()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [[field.strip() for field in line] for line in csv.reader(file) if line][skip:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LocalError(f"{path.name} cannot be read: {type(error).__name__}", hint=f"looked for {path}") from error
    header = list(names) if names is not None else (lines.pop(0) if lines else [])
    quarantine.read(path.name, len(lines))
    whole = [line for line in lines if len(line) == len(header)]
    ragged = len(lines) - len(whole)
    if ragged and not quarantine.tolerant:
        raise LocalError(f"{path.name}: {ragged} of {len(lines)} lines do not have {len(header)} fields")
    quarantine.note(path.name, "-", "fields", ragged, f"do not have {len(header)} fields")
    columns = zip(*whole, strict=True) if whole else [() for _ in header]
    table, bad = {}, np.zeros(len(whole), np.bool_)
    for name, column in zip(header, columns, strict=True):
        table[name], wrong = _numbers(column, missing)
        count = int(np.count_nonzero(wrong))
        if count and not quarantine.tolerant:
            raise LocalError(f"{path.name}: column {name}: {count} of {len(whole)} rows are not numbers")
        quarantine.note(path.name, name, "not-a-number", count, "are not numbers")
        bad |= wrong
    quarantine.put(path.name, ragged + int(np.count_nonzero(bad)))
    return {name: column[~bad] for name, column in table.items()} if bad.any() else table


def _numbers(column: Sequence[str], missing: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column's numbers, NaN where one is missing or none, and which rows hold something else than a number."""
    numbers, wrong = np.full(len(column), np.nan), np.zeros(len(column), np.bool_)
    for row, text in enumerate(column):
        if text in missing:
            continue
        try:
            numbers[row] = float(text)
        except ValueError:
            wrong[row] = True
            continue
        wrong[row] = not math.isfinite(numbers[row])
    return numbers, wrong


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
