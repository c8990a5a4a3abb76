"""Reads a table of delimited text: line by line, in pieces of bounded size, and says what it cannot read.

Knows:    lines are counted against the file, also those that a quote swallowed; which option reads what it refuses.
Never:    puts a cell into a message: the first line of a table may be a patient. Guesses a format.
Imports:  numpy, learning.cells, learning.columns, learning.formats.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from learning import cells
from learning.columns import Column, Table, note_labels
from learning.formats import Format, columns_of, opened
from learning.quarantine import HINT, WHOLE_COLUMN, Quarantine, whole_column_hint
from schemas.errors import LocalError

CHUNK = 8192  # rows that are in memory as text together


class Reads(Protocol):
    """What a contract says of reading: which columns, and what stands for no value in a table of text."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    @property
    def missing(self) -> tuple[str, ...]: ...


class Chunk(NamedTuple):
    """Some lines of a file, in order.

    table    the columns asked for, of those lines that are rows
    unread   column -> bool (rows,): its cell holds something else than the column does
    lines    int64 (rows,): where in the file each row begins, from 1
    broken   rule -> how many lines are no rows; `width` fields make one
    other_decimal   whether the cells of a column that could not be read are numbers with the other decimal mark
    """

    table: Table
    unread: dict[str, NDArray[np.bool_]]
    lines: NDArray[np.int64]
    broken: Counter[str]
    width: int
    other_decimal: bool

    @property
    def bad(self) -> NDArray[np.bool_]:
        """bool (rows,): rows with a cell that could not be read."""
        bad = np.zeros(len(self.lines), np.bool_)
        for wrong in self.unread.values():
            bad |= wrong
        return bad


def read_chunks(
    path: Path,
    columns: Sequence[Column],
    *,
    names: Sequence[str] | None = None,
    skip: int = 0,
    how: Format | None = None,
    rows: int = CHUNK,
) -> Iterator[Chunk]:
    """A table of any length, `rows` lines at a time: for reading what does not fit into memory.

    columns  the ones to read, e.g. `contract.columns`; others are passed over, whatever they hold
    names    the columns where the file has no header line; skip: lines at the top that are neither header nor row

    Raises LocalError when the file cannot be read, has no header line, or lacks one of the columns.
    """
    how = how or Format()
    with opened(path, how) as file:
        records = _Records(file, how.delimiter)
        lines = iter(records)
        for _ in range(skip):
            next(lines, None)
        header = list(names) if names is not None else next(lines, (0, []))[1]
        if names is None and header and header[0].startswith("sep="):  # a spreadsheet's word on the delimiter
            header = next(lines, (0, []))[1]
        first = next(lines, None)
        places = columns_of(header, columns, where=path.name, how=how, sample=first[1] if first else ())
        begun = [] if first is None else [first]
        width, more = len(header), True
        while more:
            piece = [*begun, *_some(lines, rows - len(begun))]
            begun, more = [], len(piece) >= rows
            yield _chunk(piece, columns, places, width, how, records.taken())


def read_csv(
    path: Path,
    contract: Reads | None = None,
    *,
    names: Sequence[str] | None = None,
    skip: int = 0,
    missing: Sequence[str] | None = None,
    delimiter: str = ",",
    decimal: str = ".",
    encoding: str = "utf-8",
    quarantine: Quarantine | None = None,
) -> Table:
    """Read a table from delimited text; marks for what is missing become NaN, in text "".

    contract    the columns to read; others are ignored, whatever they hold. Without one every column is read: as
                numbers where all its cells are, else as text that `sift` then judges
    missing     these marks, where they are not the contract's
    names       the columns where the file has no header line; skip: lines at the top that are neither header nor row
    quarantine  takes lines with another number of fields or swallowed by a quote, and rows with a cell that its column
                does not hold; without one, or when it takes nothing, such a line refuses the whole file

    Raises LocalError when the file cannot be read, or a line or a column is not as it must be: how many rows, never
    which value, and what reads it.
    """
    if missing is None:
        missing = cells.MISSING if contract is None else contract.missing
    how = Format(delimiter, decimal, encoding, tuple(missing))
    quarantine = quarantine or Quarantine()
    if contract is None and decimal != ".":
        raise LocalError("read_csv with `decimal` needs the contract", hint="read_csv(path, self.contract, decimal=…)")
    columns = _texts(path, names, skip, how) if contract is None else contract.columns
    pieces = list(read_chunks(path, columns, names=names, skip=skip, how=how))
    table: dict[str, NDArray[np.generic]] = {
        column.name: np.concatenate([piece.table[column.name] for piece in pieces]) for column in columns
    }
    bad = np.concatenate([piece.bad for piece in pieces])
    broken = sum((piece.broken for piece in pieces), Counter[str]())
    quarantine.read(path.name, len(bad) + broken.total())
    _note(path.name, columns, pieces, broken, quarantine, how)
    note_labels(quarantine, path.name, columns, table, bad)
    quarantine.put(path.name, broken.total() + int(np.count_nonzero(bad)), hint=_decimal_hint(pieces, how))
    if contract is None:
        table = {name: _numbers_if_all_are(column, how) for name, column in table.items()}
    return {name: column[~bad] for name, column in table.items()} if bad.any() else table


class _Records:
    """The records of a file with the line each begins in; lines that a quote swallowed are counted instead."""

    def __init__(self, file: Iterable[str], delimiter: str) -> None:
        self._delimiter, self._swallowed = delimiter, 0
        self._reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        self._width = 0

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        seen = 0
        while True:
            try:
                for record in self._reader:
                    begin, lines, seen = seen + 1, self._reader.line_num - seen, self._reader.line_num
                    if lines > 1 and self._looks_swallowed(record):
                        self._swallowed += lines
                    elif record:
                        self._width = self._width or len(record)
                        yield begin, record
            except csv.Error:  # a quote that nothing closes, or nothing that may: the reader goes on in the next line
                self._swallowed += self._reader.line_num - seen
                seen = self._reader.line_num
            else:
                return

    def taken(self) -> int:
        """How many lines were swallowed since this was asked last."""
        count, self._swallowed = self._swallowed, 0
        return count

    def _looks_swallowed(self, record: list[str]) -> bool:
        """Whether one of the lines in a record over several would be a row by itself."""
        lines = self._delimiter.join(record).splitlines()
        return len(record) != self._width or any(line.count(self._delimiter) + 1 == self._width for line in lines)


def _some(lines: Iterator[tuple[int, list[str]]], most: int) -> Iterator[tuple[int, list[str]]]:
    for _, one in zip(range(most), lines, strict=False):
        yield one


def _chunk(
    piece: Sequence[tuple[int, list[str]]],
    columns: Sequence[Column],
    places: Sequence[int],
    width: int,
    how: Format,
    swallowed: int,
) -> Chunk:
    whole = [record for _, record in piece if len(record) == width]
    lines = np.array([line for line, record in piece if len(record) == width], np.int64)
    broken = Counter({"fields": len(piece) - len(whole), "quote": swallowed})
    table, unread, other = {}, {}, False
    turned = list(zip(*whole, strict=True)) or [()] * width
    for column, place in zip(columns, places, strict=True):
        texts = turned[place]
        table[column.name], wrong = column.read(texts, how.missing, how.decimal)
        if wrong.any():
            unread[column.name] = wrong
            refused = itertools.compress(texts, wrong)
            numeric = column.kind in ("number", "integer")
            other |= numeric and all(cells.is_number(text, how.other_decimal) for text in refused)
    return Chunk(table, unread, lines, broken, width, other)


def _note(
    where: str,
    columns: Sequence[Column],
    pieces: Sequence[Chunk],
    broken: Counter[str],
    quarantine: Quarantine,
    how: Format,
) -> None:
    """Tell the quarantine what could not be read. Raises LocalError where it takes nothing."""
    rows = sum(len(piece.lines) for piece in pieces)
    total, wrong, hint = rows + broken.total(), [], ""
    for rule, said in (
        ("fields", f"do not have {pieces[0].width} fields"),
        ("quote", "are swallowed by a quote that is not closed, or hold a broken one"),
    ):
        quarantine.note(where, "-", rule, broken[rule], said)
        if broken[rule]:
            wrong.append(f"{broken[rule]} of {total} lines {said}")
    for column in columns:
        count = sum(int(np.count_nonzero(piece.unread.get(column.name, False))) for piece in pieces)
        rule, said = column.unread
        quarantine.note(where, column.name, rule, count, said)
        if count:
            wrong.append(f"column {column.name}: {count} of {rows} rows {said}")
            hint = hint or (whole_column_hint(column.name, rule) if count > WHOLE_COLUMN * rows else "")
    if wrong and not quarantine.tolerant:
        raise LocalError(f"{where}: {'; '.join(wrong)}", hint=_decimal_hint(pieces, how) or hint or HINT)


def _decimal_hint(pieces: Sequence[Chunk], how: Format) -> str:
    return how.option("decimal", how.other_decimal) if any(piece.other_decimal for piece in pieces) else ""


def _texts(path: Path, names: Sequence[str] | None, skip: int, how: Format) -> tuple[Column, ...]:
    """Every column of a file, as text. Raises LocalError when two have one name."""
    header = list(names) if names is not None else []
    if names is None:
        with opened(path, how) as file:
            for _, record in zip(range(skip + 1), (one for _, one in _Records(file, how.delimiter)), strict=False):
                header = [name.strip() for name in record]
    again = [place + 1 for place, name in enumerate(header) if name and header.count(name) > 1]
    if again:
        listed = ", ".join(map(str, again))
        raise LocalError(f"{path.name}: columns {listed} have one name", hint="rename or remove all of them but one")
    return tuple(Column(name, "text", missing=True) for name in header)


def _numbers_if_all_are(column: NDArray[np.generic], how: Format) -> NDArray[np.generic]:
    values, wrong = cells.numbers(column.tolist(), how.missing)
    return column if wrong.any() else values
