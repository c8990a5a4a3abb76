"""The open site.db: what waits to be written, and one transaction at a time that writes it.

Knows:    small things wait for the next transaction or a flush. What no database would take is dropped by itself, and
          said: what waits beside it is written all the same.
Never:    knows what a row means; goes on in a file that is no more the one of its name.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from participant.shell.database import NEVER_STORED, hint_of, in_words
from participant.shell.mark import START_ANEW, Mark, check_outbox
from participant.shell.tables import check_whole, is_empty, prepare
from schemas.errors import LocalError

log = structlog.get_logger()

Statement = tuple[str, tuple[Any, ...]]
Latest = Callable[[], Statement]


class Journal:
    """Raises LocalError when site.db cannot be used, or is another site's."""

    def __init__(self, path: Path, site: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._later: deque[Statement] = deque()
        self._after: deque[Path] = deque()
        self._changed: dict[tuple[str, ...], Latest] = {}
        try:
            self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            self.path.chmod(0o600)
            self._mark, self._place = Mark(self.path), _place(self.path)
            if is_empty(self._db):
                self._mark.check_empty()
            identity = prepare(self._db, self.path, site)
            check_whole(self._db)
            check_outbox(self.path, dict(self._db.execute("SELECT study, next FROM sequences").fetchall()))
            self._mark.check(identity, self._lines())
        except (sqlite3.Error, OSError) as error:
            raise LocalError(in_words(error, self.path), hint=hint_of(error)) from None

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Every row of a query. Raises sqlite3.Error."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One of its own, on disk when the block ends. Raises sqlite3.Error."""
        with self._lock, self._db:
            self._db.execute("BEGIN")
            yield self._db

    def later(self, *statements: Statement) -> None:
        """Write these with the next transaction."""
        self._later.extend(statements)

    def latest(self, key: tuple[str, ...], value: Latest) -> None:
        """Write what `value` gives by then, with the next transaction; one thing has one `key`."""
        self._changed[key] = value

    def never_mind(self, key: tuple[str, ...]) -> None:
        """What waited under this key is of no use any more."""
        self._changed.pop(key, None)

    def unlink_later(self, file: Path) -> None:
        """Remove a file once the next transaction is on disk."""
        self._after.append(file)

    @property
    def waiting(self) -> bool:
        """Whether something waits for a flush."""
        return bool(self._later or self._after or self._changed)

    def flush(self) -> None:
        """Write what waits. Raises sqlite3.Error when the disk is full; it goes on waiting then."""
        self.commit([])

    def close(self) -> None:
        """Write what waits, and close; what cannot be written at the end is said, and never keeps a service from it."""
        try:
            if self.waiting:
                self.flush()
        except LocalError as error:
            log.error("site.db is not where it was", reason=str(error), hint=error.hint)
        except sqlite3.Error as error:
            lost = len(self._later) + len(self._changed)
            log.error(
                "site.db cannot be written at the end, what it had to remember last is lost",
                reason=in_words(error, self.path),
                hint=hint_of(error),
                entries=lost,
            )
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def check_place(self) -> None:
        """Raises LocalError when the open file is no more the one of its name; what it holds is saved beside."""
        if _place(self.path) == self._place:
            return
        gone, saved = self.path, self.path.with_name("site.db.saved")
        with self._lock:
            self._place = _place(gone)
            try:
                saved.unlink(missing_ok=True)
                self._db.execute("VACUUM INTO ?", (str(saved),))
                self._db.close()
                self._db = sqlite3.connect(saved, check_same_thread=False, isolation_level=None)
                saved.chmod(0o600)
            except (sqlite3.Error, OSError) as error:
                what = f"{gone} was removed or replaced while the service ran, and could not be saved: {error}"
                raise LocalError(what, hint=START_ANEW) from None
            self.path, self._place = saved, _place(saved)
        raise LocalError(
            f"{gone} was removed or replaced while the service ran; all it held is saved in {saved}",
            hint=f"end what removed it; remove {gone}-wal and -shm, rename {saved.name} to {gone.name}, start again",
        )

    def commit(self, statements: Sequence[Statement]) -> None:
        """Write what waits, then these, in one transaction. Raises sqlite3.Error; all of it goes on waiting then."""
        self.check_place()
        with self._lock:
            waiting: list[Statement] = []
            files = [self._after.popleft() for _ in range(len(self._after))]
            changed = dict(self._changed)
            for key in changed:  # before their values are read: a later change is written again
                self._changed.pop(key, None)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                waiting.extend(self._later.popleft() for _ in range(len(self._later)))
                for statement, values in (*waiting, *(value() for value in changed.values())):
                    self._write(statement, values)
                for statement, values in statements:
                    self._db.execute(statement, values)
                self._db.execute("COMMIT")
                self._mark.note(self._lines())
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._later.extendleft(reversed(waiting))
                self._after.extend(files)
                for key, value in changed.items():  # in place: another thread may add to it meanwhile
                    self._changed.setdefault(key, value)
                raise
        for file in files:
            file.unlink(missing_ok=True)

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """One of what waited; SQLite undoes a statement that fails by itself, the transaction goes on."""
        try:
            self._db.execute(statement, values)
        except NEVER_STORED as error:
            table = statement.split("INTO ")[-1].split("FROM ")[-1].split()[0]
            log.error("site.db does not take an entry, dropped", table=table, reason=in_words(error, self.path))

    def _lines(self) -> int:
        """How many lines the ledger has; none is ever taken out."""
        return int(self._db.execute("SELECT coalesce(max(rowid), 0) FROM ledger").fetchone()[0])


def _place(path: Path) -> tuple[int, int] | None:
    """Which file has the name now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
