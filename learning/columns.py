"""One column of a data contract: what its cells hold, and which rows break it.

Knows:    numbers within a range, whole numbers, one of some words, free text; which column is the label.
Never:    puts a patient's value into a message.
Imports:  numpy, learning.cells, learning.quarantine, schemas.errors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import cells
from learning.quarantine import Quarantine
from schemas.errors import LocalError

Table = Mapping[str, NDArray[Any]]  # column -> (rows,): float64, NaN where missing; object of str for kind "text"
Fault = tuple[str, str, NDArray[np.bool_]]  # rule, what it says of the rows that break it, which rows those are
LEVELS_TOLD = 50  # of a label; of one with more each has too few records to say anything
KINDS = ("number", "integer", "category", "text")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    kind     number, integer: float64 within [low, high], or one of `values`
             category: one of the words `values`; the table holds its place among them from 0, float64
             text: any text, an identifier for example; the table holds str, "" where there is none
    missing  whether a row may have no value
    label    whether it is what the model shall predict: absent where there is nothing to learn from
    """

    name: str
    kind: Literal["number", "integer", "category", "text"] = "number"
    low: float = -math.inf
    high: float = math.inf
    values: tuple[float, ...] | tuple[str, ...] = ()
    missing: bool = False
    label: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LocalError(f"column {self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        texts = [isinstance(value, str) for value in self.values]
        if self.kind == "category" and not (texts and all(texts)):
            raise LocalError(
                f"column {self.name}: a category needs the words that it may hold",
                hint=f'Column("{self.name}", "category", values=("F", "M"))',
            )
        if self.kind != "category" and any(texts):
            raise LocalError(
                f"column {self.name}: a column of kind {self.kind} does not hold words",
                hint=f'Column("{self.name}", "category", values=…)',
            )
        if self.kind == "text" and (self.values or self.low > -math.inf or self.high < math.inf):
            raise LocalError(f"column {self.name}: text has no range and no values", hint="take another kind")

    def read(
        self, texts: Sequence[str], missing: Collection[str] = cells.MISSING, decimal: str = "."
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """What these cells hold, and which of them hold something else than this kind of column."""
        if self.kind == "text":
            return cells.words(texts, missing)
        if self.kind == "category":
            return cells.codes(texts, self.levels, missing)
        return cells.numbers(texts, missing, decimal)

    @property
    def levels(self) -> tuple[str, ...]:
        """`values` as they are written."""
        return tuple(value if isinstance(value, str) else f"{value:g}" for value in self.values)

    @property
    def unread(self) -> tuple[str, str]:
        """Rule and words for cells that hold something else."""
        if self.kind == "category":
            return "unknown-value", f"are none of {', '.join(self.levels)}"
        return "not-a-number", "are not numbers"

    def codes(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Which of `values` each row holds, from 0; NaN where it is none of them."""
        if self.kind == "category":
            return np.asarray(column, np.float64)
        found = np.full(len(column), np.nan)
        for code, value in enumerate(self.values):
            found[column == value] = code
        return found

    def faults(self, column: NDArray[Any]) -> list[Fault]:
        """Every rule of this column, as far as it has been read."""
        if self.kind == "text":
            return [] if self.missing else [("missing", "have no value", column == "")]
        absent, finite = np.isnan(column), np.isfinite(column)
        rules = [("not-finite", "are not finite", ~absent & ~finite)]
        if not self.missing:
            rules.append(("missing", "have no value", absent))
        if self.kind == "category":
            unknown = finite & ~np.isin(column, np.arange(len(self.values)))
            return [*rules, (*self.unread, unknown)]
        if self.kind == "integer":
            rules.append(("not-whole", "are not whole numbers", finite & (column != np.rint(column))))
        if self.values:
            unknown = finite & ~np.isin(column, self.values)
            rules.append(("unknown-value", f"are none of {', '.join(self.levels)}", unknown))
        outside = finite & ((column < self.low) | (column > self.high))
        rules.append(("out-of-range", f"lie outside {self.low:g} to {self.high:g}", outside))
        return rules


def note_labels(
    quarantine: Quarantine, where: str, columns: Sequence[Column], table: Table, bad: NDArray[np.bool_]
) -> None:
    """Tell the quarantine how many rows of each label there are, and how many of them are set aside."""
    for column in columns:
        if column.label and 0 < len(column.values) <= LEVELS_TOLD and column.name in table:
            found = column.codes(table[column.name])
            for code, level in enumerate(column.levels):
                rows = found == code
                quarantine.label(
                    where, column.name, level, int(np.count_nonzero(rows)), int(np.count_nonzero(rows & bad))
                )
