"""A small file beside site.db that says how far the database was: else a lost or older one would seem a fresh one.

Knows:    the database's random id, and how many lines its ledger had; written after each transaction that adds one. It
          is never ahead of the database that wrote it: what is ahead of a database has met a newer one.
Never:    is believed when it cannot be read: a cut in power may leave it empty, and then it says nothing.
Source:   docs/reliability.md, "What is promised".
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from runtime.disk import open_plain
from schemas.errors import LocalError

NAME = "site.mark"
START_ANEW = (
    "put back the newest site.db, with its site.db-wal, if it lies somewhere; else move the whole data folder away and "
    "start with an empty one: what was sent stays counted, the ledger is what the old folder has of it"
)
_SIZE_MAX = 4096


class Mark:
    """One database's mark."""

    def __init__(self, path: Path) -> None:
        """`path` of the database."""
        self._path, self._file = path, path.with_name(NAME)
        self._identity, self._lines = "", -1

    def check_empty(self) -> None:
        """Raises LocalError when the database, which is empty, cannot be a new site's."""
        if _read(self._file) is not None:
            raise LocalError(
                f"{self._path} is gone or empty, and it was not when {self._file.name} was written", hint=START_ANEW
            )

    def check(self, identity: str, lines: int) -> None:
        """Take the database with this id and so many lines in its ledger for the one of the mark from here on.

        Raises LocalError when it cannot be the one that was here last, or is older.
        """
        known, least = _read(self._file) or (identity, 0)
        if identity != known:
            raise LocalError(f"{self._path} is another database than the one that was here last", hint=START_ANEW)
        if lines < least:
            raise LocalError(
                f"{self._path} is an old copy, or lacks its site.db-wal: its ledger has {lines} lines, and had {least}",
                hint=START_ANEW,
            )
        self._identity = identity
        self.note(lines)

    def note(self, lines: int) -> None:
        """The ledger has so many lines now, for good. A mark that cannot be written stays behind, which is no lie."""
        if lines == self._lines:
            return
        part = self._file.with_suffix(".part")
        with contextlib.suppress(OSError):
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
                json.dump({"id": self._identity, "lines": lines}, file)
            part.replace(self._file)
            self._lines = lines


def check_outbox(path: Path, sequences: Mapping[str, int]) -> None:
    """Raises LocalError when a body lies in the outbox that the database at `path` has not made yet.

    sequences   the next number of each study; the body of that number may be half-way into the database
    """
    for study, sequence in _bodies(path.with_name("outbox")):
        if sequence > sequences.get(study, -1):
            raise LocalError(
                f"{path} is gone, or an old copy: the outbox has update {study}/{sequence}, of which it knows nothing",
                hint=START_ANEW,
            )


def _bodies(outbox: Path) -> Iterable[tuple[str, int]]:
    for body in outbox.iterdir() if outbox.is_dir() else ():
        study, _, number = body.name.rpartition(".")
        if study and number.isascii() and number.isdecimal():
            yield study, int(number)


def _read(path: Path) -> tuple[str, int] | None:
    try:
        with open_plain(path) as file:
            found = json.loads(file.read(_SIZE_MAX))
        identity, lines = found["id"], found["lines"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (identity, lines) if type(identity) is str and type(lines) is int else None
