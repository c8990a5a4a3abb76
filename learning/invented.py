"""Invented patients that keep a data contract: for trying a task before anybody's data are there.

Knows:    every value that a column names comes up, columns that may be missing are missing now and then; the same seed
          invents the same patients.
Never:    looks at a patient. Says anything about how real ones are: an invented model has learnt nothing.
Imports:  numpy, learning.contract, learning.source.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from learning.contract import Column, DataContract, Table
from learning.source import DataSource

ROWS = 40
MISSING_SHARE = 0.1
SPREAD = 100.0  # of a number whose column names one bound or none


def invented_table(contract: DataContract, rows: int = ROWS, *, seed: int = 0) -> Table:
    """So many rows that keep the contract."""
    rng = np.random.default_rng(seed)
    return {column.name: _column(column, max(rows, contract.rows_min), rng) for column in contract.columns}


def write_table(path: Path, contract: DataContract, table: Table, *, names: Sequence[str] | None = None) -> None:
    """The table as text with commas; with a header line, or without one in the order of `names`."""
    columns = {column.name: column for column in contract.columns}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if names is None:
            writer.writerow(columns)
        for row in range(len(table[contract.names[0]])):
            cells = {name: _text(columns[name], table[name][row]) for name in columns}
            writer.writerow([cells.get(name, "") for name in names or columns])


@dataclass(frozen=True, slots=True)
class InventedSource(DataSource):
    """A site whose tables are invented when a task asks for them: written into its folder, then read as any other.

    tables   the names of those that were, in the order in which they were asked for
    """

    tables: list[str] = field(default_factory=list)

    def table(self, contract: DataContract, name: str, *, names: Sequence[str] | None = None, skip: int = 0) -> Table:
        self.invent(contract, self.path(name), names=names)
        return DataSource.table(self, contract, name, names=names)

    def invent(self, contract: DataContract, path: Path, *, names: Sequence[str] | None = None) -> None:
        """Write this site's table, unless it is there."""
        self.tables.append(path.name)
        if not path.exists():
            write_table(path, contract, invented_table(contract, seed=crc32(self.site.encode())), names=names)


def _column(column: Column, rows: int, rng: np.random.Generator) -> NDArray[Any]:
    if column.kind == "text":
        texts = np.empty(rows, object)
        texts[:] = [f"{rng.integers(2**40):010x}" for _ in range(rows)]
        return texts
    if column.values:
        known = range(len(column.values)) if column.kind == "category" else column.values
        values = rng.permutation(np.resize(np.array(known, np.float64), rows))
    else:
        values = _numbers(column, rows, rng)
    if column.missing:
        values[rng.random(rows) < MISSING_SHARE] = np.nan
    return values


def _numbers(column: Column, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    low, high = column.low, column.high
    if math.isinf(low):
        low = -SPREAD if math.isinf(high) else high - SPREAD
    if math.isinf(high):
        high = low + SPREAD
    if column.kind == "integer":
        return rng.integers(math.ceil(low), math.floor(high), rows, endpoint=True).astype(np.float64)
    return np.asarray(low + (high - low) * rng.random(rows), np.float64)


def _text(column: Column, value: Any) -> str:
    if column.kind == "text":
        return str(value)
    if np.isnan(value):
        return ""
    return column.levels[int(value)] if column.kind == "category" else f"{value:.17g}"
