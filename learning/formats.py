"""How a table is written down: delimiter, decimal mark, encoding, marks for what is missing; and how to tell.

Knows:    what spreadsheets export; the option that would read what is refused.
Never:    puts a cell into a message, reads one format where another was named.
Imports:  stdlib, learning.cells, learning.columns, schemas.errors.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

from learning.cells import MISSING
from learning.columns import Column
from schemas.errors import LocalError

DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}  # as options name them
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
HEAD_BYTES = 4096
_BINARY = (
    (b"PK\x03\x04", "is a workbook or an archive", "save it from the spreadsheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an old workbook", "save it from the spreadsheet as CSV UTF-8"),
    (b"\x1f\x8b", "is compressed", "unpack it with gunzip"),
    (b"%PDF", "is a PDF", "export the table as CSV"),
    (b"PAR1", "is a Parquet file", "export the table as CSV"),
)
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")


@dataclass(frozen=True, slots=True)
class Format:
    """`delimiter` is one character, or the word tab; `decimal` is . or ,; `missing` are marks for no value."""

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = MISSING

    def __post_init__(self) -> None:
        if self.delimiter in ("tab", "\\t"):
            object.__setattr__(self, "delimiter", "\t")
        if len(self.delimiter) != 1 or self.delimiter in "\"'\r\n. " or self.delimiter.isalnum():
            raise LocalError("option delimiter is no sign between fields", hint="one of ; , | or the word tab")
        if self.decimal not in (".", ","):
            raise LocalError("option decimal is no decimal mark", hint='"." or ","')
        if self.decimal == self.delimiter:
            raise LocalError(
                "options delimiter and decimal are the same sign", hint='delimiter = ";" with decimal = ","'
            )
        try:
            text = codecs.lookup(self.encoding)._is_text_encoding  # what open() itself asks
        except LookupError:
            text = False
        if not text:
            raise LocalError("option encoding names no encoding", hint="utf-8, latin-1, cp1252, utf-16 and others")

    @classmethod
    def of(cls, options: Mapping[str, str], missing: Sequence[str] = MISSING) -> Self:
        """As a site's or a plan's options say; `missing` of them is a list with commas, added to the contract's own."""
        more = tuple(mark.strip() for mark in options.get("missing", "").split(",") if mark.strip())
        return cls(
            options.get("delimiter", ","),
            options.get("decimal", "."),
            options.get("encoding", "utf-8"),
            (*missing, *more),
        )

    @property
    def other_decimal(self) -> str:
        return "." if self.decimal == "," else ","

    def option(self, *pairs: str) -> str:
        """A hint that names options, given as name, value, name, value …"""
        named = ", ".join(f'{name} = "{value}"' for name, value in zip(pairs[::2], pairs[1::2], strict=True))
        where = f"a site: [studies.options]; a plan: [task.options]; `task test`: --option; `predict`: --{pairs[0]}"
        return f"to read it, set {named} ({where})"


@contextmanager
def opened(path: Path, how: Format) -> Iterator[TextIO]:
    """The file as text. Raises LocalError, also for bytes met while it is read that are none of this encoding."""
    encoding = "utf-8-sig" if codecs.lookup(how.encoding).name == "utf-8" else how.encoding
    try:
        with path.open("rb") as raw:
            _check_head(raw.read(HEAD_BYTES), path.name, how)
        with path.open(newline="", encoding=encoding) as file:
            yield file
    except UnicodeError as error:
        hint = how.option("encoding", "cp1252" if "utf" in encoding else "utf-8")
        raise LocalError(f"{path.name} is not written in {how.encoding}: {type(error).__name__}", hint=hint) from None
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise LocalError(f"{path.name} cannot be read: {said}", hint=f"looked for {path}") from error


def columns_of(
    header: Sequence[str], columns: Sequence[Column], *, where: str, how: Format, sample: Sequence[str] = ()
) -> list[int]:
    """In which field each column lies. Raises LocalError naming the task's columns alone: a header may be a patient.

    sample   the fields of the line below, for what they tell of the decimal mark
    """
    names = [_plain(name) for name in header]
    absent = [column.name for column in columns if column.name not in names]
    reads = f"the task reads {', '.join(column.name for column in columns)}"
    if absent and (other := _other_delimiter(names, columns, how)):
        commas = _COMMA_NUMBER.search(how.delimiter.join(sample))
        decimal = ("decimal", ",") if commas and other != "," else ()
        hint = how.option("delimiter", DELIMITERS[other], *decimal)
        here = _WORDS.get(how.delimiter, f"`{how.delimiter}`")
        raise LocalError(f"{where}: its fields are separated by {_WORDS[other]}, not by {here}", hint=hint)
    spelt = [name for name in absent if name.casefold() in (other.casefold() for other in names)]
    if spelt:
        hint = "upper and lower case count; rename it in the first line"
        raise LocalError(f"{where}: column {', '.join(spelt)} is written otherwise in the header line", hint=hint)
    if absent and len(absent) == len(columns):
        hint = f"write the columns' names into the first line; {reads}"
        raise LocalError(f"{where}: no header line: its first line names no column of the task", hint=hint)
    if absent:
        raise LocalError(f"{where}: no column {', '.join(absent)}", hint=reads)
    twice = [column.name for column in columns if names.count(column.name) > 1]
    if twice:
        hint = "which one is meant? rename or remove the other"
        raise LocalError(f"{where}: more than one column {', '.join(twice)}", hint=hint)
    return [names.index(column.name) for column in columns]


def _check_head(head: bytes, where: str, how: Format) -> None:
    for magic, what, hint in _BINARY:
        if head.startswith(magic):
            raise LocalError(f"{where} {what}, not a table in plain text", hint=hint)
    if head.startswith(codecs.BOM_UTF8) and codecs.lookup(how.encoding).name not in ("utf-8", "utf-8-sig"):
        hint = how.option("encoding", "utf-8")
        raise LocalError(f"{where} is not written in {how.encoding}: it begins with the mark of utf-8", hint=hint)
    wide = codecs.lookup(how.encoding).name.startswith(("utf-16", "utf-32"))
    if not wide and (head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head):
        raise LocalError(f"{where} is not written in {how.encoding}", hint=how.option("encoding", "utf-16"))


def _other_delimiter(names: Sequence[str], columns: Sequence[Column], how: Format) -> str:
    """The delimiter that would find more of the columns in the header; empty when none would."""
    line, best, found = how.delimiter.join(names), "", sum(column.name in names for column in columns)
    for other in DELIMITERS:
        fields = {_plain(name.strip('"')) for name in line.split(other)}
        if other != how.delimiter and (count := sum(column.name in fields for column in columns)) > found:
            best, found = other, count
    return best


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.lstrip("\ufeff").strip())
