"""What SQLite says, as an operator reads it: a full disk, a lost right, a damaged page, a fault of this software."""

import sqlite3
from pathlib import Path

from runtime.disk import FREE_SPACE, said, to_do

NEVER_STORED = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError)
"""Errors of an entry, not of the database: trying again would fail for ever."""

DAMAGED = (
    "check the disk; then move the whole data folder away and start with an empty one, never with an old copy: what "
    "was sent stays counted, and the old folder keeps what can be read of the ledger"
)
_WAYS_OUT = {
    "FULL": ("the disk is full", FREE_SPACE),
    "IOERR": ("the disk does not read or write it", f"check the disk, its quota and its mount; {FREE_SPACE}"),
    "READONLY": (
        "it cannot be written",
        "check its owner, and that it is not mounted read-only",
    ),
    "CANTOPEN": ("it cannot be opened", "check that the user of the participant owns the data folder"),
    "PERM": ("the system does not allow it", "check that the user of the participant owns it"),
    "AUTH": ("the system does not allow it", "check that the user of the participant owns it"),
    "BUSY": ("another program has locked it", "end what else has it open, a database browser or a backup, say"),
    "LOCKED": ("another program has locked it", "end what else has it open, a database browser or a backup, say"),
    "CORRUPT": ("it is damaged", DAMAGED),
    "NOTADB": ("it is no database, or damaged", DAMAGED),
    "CONSTRAINT": ("an entry breaks its rules", "this is a fault of the software: please report it"),
}


def in_words(error: Exception, path: Path) -> str:
    """One sentence: the file, what is the matter, and SQLite's own words."""
    if isinstance(error, OSError):
        return said(error, path)
    matter = _way_out(error)[0]
    return f"{path}: {matter} ({error})" if matter else f"{path}: {error}"


def hint_of(error: Exception) -> str:
    """What helps."""
    if isinstance(error, OSError):
        return to_do(error, "check that the user of the participant owns the data folder")
    return _way_out(error)[1]


def is_damage(error: Exception) -> bool:
    """Whether no try will ever come off: the file is no whole database any more."""
    return isinstance(error, sqlite3.Error) and _kind(error) in ("CORRUPT", "NOTADB")


def _way_out(error: Exception) -> tuple[str, str]:
    return _WAYS_OUT.get(_kind(error), ("", "please report this with the version of the software"))


def _kind(error: Exception) -> str:
    """`FULL` of SQLITE_FULL, `IOERR` of SQLITE_IOERR_WRITE; empty where SQLite names none."""
    words = getattr(error, "sqlite_errorname", "").split("_")
    return words[1] if len(words) > 1 else ""
