"""site.db: sequence numbers, outbox, ledger and decisions of this site, on disk before anything is sent.

Knows:    one transaction puts an update into outbox and ledger; small facts wait for the next transaction or a flush.
Never:    holds a body (those are files), forgets a ledger row, is restored from a backup.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from participant.core.restored import Restored
from participant.core.stage import Fate
from participant.shell.database import hint_of, in_words
from participant.shell.journal import Journal, Statement
from schemas.errors import LocalError

STALENESS_MAX = 1024  # of any plan


@dataclass(frozen=True, slots=True)
class Left:
    """One line of the ledger: what left this site. `bytes` are payload and body, before Kafka's own framing."""

    study: str
    plan: bytes
    what: str  # update, evaluation or presence
    bytes: int
    sequence: int | None = None
    base_version: int | None = None
    messages: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an update.

    code   the receipt's reason; version: the one it was counted into, with `weight` in 16ths
    """

    fate: Fate
    code: str | None = None
    version: int | None = None
    weight: int = 0


@dataclass(slots=True)
class Row:
    """One update in the outbox; `acked` are chunk -> offset of an upload under way. Keys stay out of `repr`."""

    study: str
    sequence: int
    base_version: int
    header: bytes
    signature: bytes = field(repr=False)
    body_key: bytes = field(repr=False)
    chunk_digests: bytes = field(repr=False)
    size_bytes: int = 0
    sealed_ms: int = 0
    offer_offset: int = -1
    acked: dict[int, int] = field(default_factory=dict, repr=False)


_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)"
_SEEN = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)"
_COUNTED_BEFORE = "counted-before"  # updates that counted on a log that was forgotten since
log = structlog.get_logger()

FIRST, NEWEST = "first", "newest"  # the places of a study in `seen`
_ROW = "study, sequence, base_version, header, signature, body_key, chunk_digests, size_bytes, sealed_ms, offer_offset"


class Store:
    """The open database. Rows of the outbox are kept in memory too, so that reading them never waits for the disk."""

    def __init__(self, folder: Path, site: str, *, clock: Callable[[], float] = time.time) -> None:
        """Raises LocalError when site.db cannot be used, or is another site's."""
        self._journal, self._clock = Journal(folder / "site.db", site), clock
        try:
            self._rows = self._read_rows()
            read = self._journal.read
            self._facts: dict[tuple[str, str], float] = {
                (study, name): value for study, name, value in read("SELECT study, name, value FROM facts")
            }
            self._seen: dict[tuple[str, str], tuple[int, bytes]] = {
                (study, place): (record, digest)
                for study, place, record, digest in read("SELECT study, place, record, digest FROM seen")
            }
        except sqlite3.Error as error:
            raise LocalError(in_words(error, self.path), hint=hint_of(error)) from None

    @property
    def path(self) -> Path:
        return self._journal.path

    # reading -------------------------------------------------------------------------------------------------------

    def rows(self, study: str) -> list[Row]:
        """The outbox of a study, in sequence order."""
        return sorted((row for row in self._rows.values() if row.study == study), key=lambda row: row.sequence)

    def row(self, study: str, sequence: int) -> Row:
        return self._rows[study, sequence]

    @property
    def undecided(self) -> int:
        """How many updates wait in the outbox, of all studies."""
        return len(self._rows)

    def fact(self, study: str, name: str, default: float = 0.0) -> float:
        """A number kept about a study: bytes so far, the local baseline, and the like."""
        return self._facts.get((study, name), default)

    def facts(self, study: str, prefix: str) -> dict[str, float]:
        """The facts whose name begins with `prefix`."""
        return {name: value for (of, name), value in self._facts.items() if of == study and name.startswith(prefix)}

    def seen(self, study: str) -> dict[int, bytes]:
        """Digests of the first and of the newest record of `rounds` that were met, by index; empty when none was."""
        return dict(self._seen[study, place] for place in (FIRST, NEWEST) if (study, place) in self._seen)

    def sequence_next(self, study: str) -> int:
        """The number the next update takes; a fresh outbox begins at unix-seconds * 2**20, on disk at once."""
        fresh = int(self._clock()) << 20
        with self._journal.transaction() as db:
            db.execute("INSERT OR IGNORE INTO sequences VALUES (?, ?)", (study, fresh))
            found = db.execute("SELECT next FROM sequences WHERE study = ?", (study,)).fetchone()
        return int(found[0])

    def restored(self, study: str) -> Restored:
        """What the core of a study is told at start."""
        read = self._journal.read
        trained = dict(read("SELECT base_version, sequence FROM trained WHERE study = ?", study))
        ((counted,),) = read("SELECT count(*) FROM decided WHERE study = ? AND outcome = 'counted'", study)
        return Restored(
            entries=tuple((row.sequence, row.base_version, row.offer_offset) for row in self.rows(study)),
            trained=trained,
            sequence_next=self.sequence_next(study),
            evaluated=int(self.fact(study, "evaluated", -1.0)),
            alone_done=bool(self.facts(study, "alone-")),
            counted=int(counted) - int(self.fact(study, _COUNTED_BEFORE)),
            record=max(self.seen(study), default=-1),
        )

    def ledger(self) -> list[tuple[Any, ...]]:
        """Every line: (at_ms, study, plan, sequence, base_version, what, bytes, messages)."""
        return self._journal.read("SELECT * FROM ledger ORDER BY rowid")

    # writing -------------------------------------------------------------------------------------------------------

    def put(self, row: Row, left: Left) -> None:
        """Take a sealed update: outbox, ledger, sequence and base version in one transaction, on disk when it returns.

        Raises sqlite3.Error when the disk is full; nothing is changed then.
        """
        row.sealed_ms = self._now_ms()
        values = tuple(getattr(row, name) for name in _ROW.split(", "))
        self._journal.commit(
            [
                (f"INSERT INTO outbox ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values),  # noqa: S608  # our own names
                ("UPDATE sequences SET next = ? WHERE study = ?", (row.sequence + 1, row.study)),
                ("INSERT OR REPLACE INTO trained VALUES (?, ?, ?)", (row.study, row.base_version, row.sequence)),
                self._ledger_line(left),
            ]
        )
        self._rows[row.study, row.sequence] = row

    def note_left(self, left: Left) -> None:
        """Add a ledger line with the next transaction."""
        self._journal.later(self._ledger_line(left))

    def note_acked(self, row: Row, chunks: Iterable[tuple[int, int]]) -> None:
        """Remember acknowledged chunks (index, offset), so that an upload that is cut goes on where it stopped."""
        line = "INSERT OR REPLACE INTO acked VALUES (?, ?, ?, ?)"
        self._journal.later(*((line, (row.study, row.sequence, chunk, offset)) for chunk, offset in chunks))

    def note_offered(self, row: Row, offset: int) -> None:
        """Remember that the offer is out; lost in a crash, it is sent again, and recognised as the same.

        Where the body lies stays known: a reminder after a restart offers it without sending it once more.
        """
        row.offer_offset = offset
        values = (offset, row.study, row.sequence)
        self._journal.later(("UPDATE outbox SET offer_offset = ? WHERE study = ? AND sequence = ?", values))

    def note_anew(self, row: Row) -> None:
        """Forget what was acknowledged: the body has to go up again as a whole."""
        row.acked.clear()
        self._journal.later(("DELETE FROM acked WHERE study = ? AND sequence = ?", (row.study, row.sequence)))
        self.note_offered(row, -1)

    def note_settled(self, row: Row, body: Path, decision: Decision, *, again: bool) -> None:
        """Take an update out; with `again` its base version may be trained from once more. The body goes last."""
        key = (row.study, row.sequence)
        del self._rows[key]
        line = (self._now_ms(), *key, row.base_version, row.size_bytes, int(row.offer_offset >= 0))
        said = (decision.fate.value, decision.code, decision.version, decision.weight)
        self._journal.later(("INSERT INTO decided VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*line, *said)))
        self._journal.later(("DELETE FROM outbox WHERE study = ? AND sequence = ?", key))
        self._journal.later(("DELETE FROM acked WHERE study = ? AND sequence = ?", key))
        if again:
            self._journal.later(("DELETE FROM trained WHERE study = ? AND sequence = ?", key))
        self._journal.later(
            ("DELETE FROM trained WHERE study = ? AND base_version < ?", (row.study, row.base_version - STALENESS_MAX))
        )
        self._journal.unlink_later(body)

    def forget(self, study: str, body: Callable[[Row], Path]) -> tuple[int, ...]:
        """Forget what a study's log said, since it begins anew; on disk when it returns the sequences given up.

        Ledger, decisions and facts stay, and the next sequence: no log, old or new, ever meets a number twice.
        Raises LocalError when nothing is known of the study, sqlite3.Error when the disk is full.
        """
        if not self._journal.read("SELECT 1 FROM sequences WHERE study = ?", study):
            raise LocalError(f"{self.path} knows nothing of a study {study}", hint="is its id written as in the plan?")
        before = self.fact(study, _COUNTED_BEFORE) + self.restored(study).counted
        given_up = self.rows(study)
        for row in given_up:
            self.note_settled(row, body(row), Decision(Fate.FORGOTTEN), again=False)
        for place in (FIRST, NEWEST):
            self._seen.pop((study, place), None)
            self._journal.never_mind((_SEEN, study, place))
        self.note_fact(study, "evaluated", -1.0)
        self.note_fact(study, _COUNTED_BEFORE, before)
        self._journal.commit(
            [("DELETE FROM trained WHERE study = ?", (study,)), ("DELETE FROM seen WHERE study = ?", (study,))]
        )
        return tuple(row.sequence for row in given_up)

    def note_fact(self, study: str, name: str, value: float) -> None:
        """Keep a number about a study; one that is not finite is dropped, and said."""
        if not math.isfinite(value):
            log.warning("a number that is not finite is dropped", study=study, name=name)
            return
        self._facts[study, name] = value
        self._journal.latest((_FACT, study, name), lambda: (_FACT, (study, name, self._facts[study, name])))

    def count(self, study: str, name: str, more: float) -> None:
        """Add to a number about a study."""
        self.note_fact(study, name, self.fact(study, name) + more)

    def note_seen(self, study: str, record: int, digest: bytes) -> None:
        """Keep the digest of a record of `rounds` that was met; of those in between only the chain knows."""
        newest = self._seen.get((study, NEWEST), (-1, b""))[0]
        for place, worth in ((FIRST, record == 0 and (study, FIRST) not in self._seen), (NEWEST, record > newest)):
            if worth:
                self._seen[study, place] = (record, digest)
                self._journal.latest((_SEEN, study, place), partial(self._latest_seen, study, place))

    @property
    def waiting(self) -> bool:
        """Whether something waits for a flush."""
        return self._journal.waiting

    def flush(self) -> None:
        """Write what waits. Raises sqlite3.Error when the disk is full; it goes on waiting then."""
        self._journal.flush()

    def close(self) -> None:
        """Write what waits, and close; what cannot be written at the end is said, and never keeps a service from it."""
        self._journal.close()

    def check_place(self) -> None:
        """Raises LocalError when the open file is no more the one of its name; what it holds is saved beside."""
        self._journal.check_place()

    # inside --------------------------------------------------------------------------------------------------------

    def _latest_seen(self, study: str, place: str) -> Statement:
        return _SEEN, (study, place, *self._seen[study, place])

    def _ledger_line(self, left: Left) -> tuple[str, tuple[Any, ...]]:
        values = (self._now_ms(), left.study, left.plan, left.sequence, left.base_version, left.what)
        return "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, left.bytes, left.messages)

    def _read_rows(self) -> dict[tuple[str, int], Row]:
        rows = {}
        for values in self._journal.read(f"SELECT {_ROW} FROM outbox"):  # noqa: S608  # our own names
            row = Row(**dict(zip(_ROW.split(", "), values, strict=True)))
            rows[row.study, row.sequence] = row
        for study, sequence, chunk, offset in self._journal.read("SELECT study, sequence, chunk, offset FROM acked"):
            if (study, sequence) in rows:
                rows[study, sequence].acked[chunk] = offset
        return rows

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
