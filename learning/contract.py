"""What a study expects of a site's table: columns, types, ranges, labels; checked before a patient is used.

Knows:    the columns a task declares, how many rows break them, and which rows those are.
Never:    puts a patient's value into a message.
Imports:  numpy, learning.columns, learning.table, learning.quarantine, schemas.errors.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learning.cells import MISSING
from learning.columns import Column as Column  # studies take all of these from here
from learning.columns import Fault, note_labels
from learning.columns import Table as Table
from learning.quarantine import WHOLE_COLUMN, Quarantine, whole_column_hint
from learning.table import read_chunks as read_chunks
from learning.table import read_csv as read_csv
from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class DataContract:
    """Every column a task reads. Columns it does not name are ignored, whatever they hold.

    missing   what stands for no value in a table of text; a site's option `missing` adds its own
    """

    columns: tuple[Column, ...]
    rows_min: int = 1
    missing: tuple[str, ...] = MISSING

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            said = f"names {', '.join(twice)} twice" if twice else "names no column"
            raise LocalError(
                f"the data contract {said}", hint='DataContract((Column("age"), Column("ill", label=True)))'
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def unlabelled(self) -> DataContract:
        """The same without its label columns: what a table holds of patients whose outcome nobody knows yet."""
        return replace(self, columns=tuple(column for column in self.columns if not column.label))

    def check(self, table: Table, *, where: str) -> None:
        """Raise LocalError naming every column that breaks the contract and how many rows do, never a value.

        where   what the operator calls this table: a file's name, or the site's
        """
        self._check_columns(table, where)
        rows = len(table[self.names[0]])
        faults = self._faults(self._read(table))
        wrong = [f"column {name}: {np.count_nonzero(bad)} of {rows} rows {said}" for name, _, said, bad in faults]
        if rows < self.rows_min:
            wrong.append(f"{rows} rows, at least {self.rows_min} are needed")
        if wrong:
            most = [(name, rule) for name, rule, _, bad in faults if np.count_nonzero(bad) > WHOLE_COLUMN * rows]
            hint = "correct or leave out these rows, or ask the study's author to widen the contract"
            raise LocalError(
                f"{where} breaks the data contract: {'; '.join(wrong)}",
                hint=whole_column_hint(*most[0]) if most and rows > 1 else hint,
            )

    def sift(self, table: Table, *, where: str, quarantine: Quarantine) -> tuple[Table, NDArray[np.intp]]:
        """The rows that keep the contract, and their numbers in `table`; the others are set aside and counted.

        A column that is still text becomes what the contract says of it. Raises LocalError as `check` does when the
        quarantine takes nothing, when it takes no more, and when a column or too many rows are missing.
        """
        if not quarantine.tolerant:
            self.check(table, where=where)
            return self._read(table)[0], np.arange(len(table[self.names[0]]))
        self._check_columns(table, where)
        read = self._read(table)
        bad = np.zeros(len(table[self.names[0]]), np.bool_)
        quarantine.read(where, len(bad))
        for name, rule, said, rows in self._faults(read):
            quarantine.note(where, name, rule, int(np.count_nonzero(rows)), said)
            bad |= rows
        note_labels(quarantine, where, self.columns, read[0], bad)
        quarantine.put(where, int(np.count_nonzero(bad)))
        kept = {name: column[~bad] for name, column in read[0].items()}
        self.check(kept, where=where)
        return kept, np.flatnonzero(~bad)

    def _read(self, table: Table) -> tuple[Table, dict[str, NDArray[np.bool_]]]:
        """The table with columns read that are still text, and which cells hold another kind."""
        read, unread = dict(table), {}
        for column in self.columns:
            values = table[column.name]
            if column.kind == "text" and values.dtype != object:
                raise LocalError(
                    f"column {column.name} is text in the contract, and was read as numbers",
                    hint="give read_csv the contract: read_csv(path, self.contract)",
                )
            if column.kind != "text" and values.dtype == object:
                read[column.name], unread[column.name] = column.read(values.tolist(), self.missing)
        return read, unread

    def _faults(
        self, read: tuple[Table, dict[str, NDArray[np.bool_]]]
    ) -> list[tuple[str, str, str, NDArray[np.bool_]]]:
        """(column, rule, what it says, rows) of every rule that rows break."""
        found = []
        for column in self.columns:
            unread = read[1].get(column.name, np.zeros(len(read[0][column.name]), np.bool_))
            faults: list[Fault] = [(*column.unread, unread)]
            faults += [(rule, said, rows & ~unread) for rule, said, rows in column.faults(read[0][column.name])]
            found += [(column.name, rule, said, rows) for rule, said, rows in faults if rows.any()]
        return found

    def _check_columns(self, table: Table, where: str) -> None:
        absent = [name for name in self.names if name not in table]
        if absent and len(absent) == len(self.names):
            hint = f"write the columns' names into the first line; the task reads {', '.join(self.names)}"
            raise LocalError(f"{where}: no header line: no column {', '.join(absent)}", hint=hint)
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
