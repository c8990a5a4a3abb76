"""What left a site and what became of it, read from site.db while the service runs or not.

Never:    changes anything: the database is opened read-only.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from participant.shell.database import hint_of, in_words, is_damage
from participant.shell.tables import FORMAT
from schemas.errors import LocalError

_UPDATES = """
SELECT l.at_ms, l.study, l.sequence, l.base_version, l.bytes, o.offer_offset, d.at_ms, d.offered, d.outcome, d.code,
       d.version, d.weight
FROM ledger l LEFT JOIN outbox o USING (study, sequence) LEFT JOIN decided d USING (study, sequence)
WHERE l.what = 'update' AND (:study IS NULL OR l.study = :study) ORDER BY l.rowid
"""
_OTHERS = """
SELECT study, what, sum(messages), sum(bytes), min(at_ms), max(at_ms) FROM ledger
WHERE what != 'update' AND (:study IS NULL OR study = :study) GROUP BY study, what ORDER BY study, what
"""


@dataclass(frozen=True, slots=True)
class Update:
    """One update that was finished here; times in unix milliseconds, `bytes` of its body.

    offered   whether its offer went out
    outcome   see Decision; `waiting` while it is in the outbox, `unknown` when it was decided before this was recorded
    """

    at_ms: int
    study: str
    sequence: int
    base_version: int
    bytes: int
    offered: bool
    outcome: str
    code: str | None = None
    version: int | None = None
    weight: int = 0
    decided_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """Messages of one kind that left: evaluations of a study, presence of the site (study is empty then)."""

    study: str
    what: str
    messages: int
    bytes: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class LedgerView:
    updates: tuple[Update, ...]
    others: tuple[Others, ...]


def read_ledger(folder: Path, study: str | None = None) -> LedgerView:
    """Everything that left, of one study or of all. Raises LocalError when the folder holds no readable site.db."""
    path = folder / "site.db"
    if not path.exists():
        raise LocalError(
            f"{folder} is no data folder of a participant",
            hint="name its settings with --config; the service makes the folder when it first runs",
        )
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as database:
            found = database.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
            if found is None or found[0] != FORMAT:
                raise LocalError(
                    f"{path} has another format than this software reads",
                    hint="start the participant once: it brings its database up to date",
                )
            updates = database.execute(_UPDATES, {"study": study}).fetchall()
            others = database.execute(_OTHERS, {"study": study}).fetchall()
    except sqlite3.Error as error:
        hint = hint_of(error) if is_damage(error) else "run this as the user of the participant"
        raise LocalError(in_words(error, path), hint=hint) from None
    return LedgerView(tuple(_update(*row) for row in updates), tuple(Others(*row) for row in others))


def _update(
    at_ms: int,
    study: str,
    sequence: int,
    base_version: int,
    size_bytes: int,
    offer_offset: int | None,
    decided_ms: int | None,
    offered: int | None,
    outcome: str | None,
    code: str | None,
    version: int | None,
    weight: int | None,
) -> Update:
    if outcome is None:
        outcome = "unknown" if offer_offset is None else "waiting"
        offered = offer_offset is None or offer_offset >= 0
    said = (bool(offered), outcome, code, version, weight or 0, decided_ms)
    return Update(at_ms, study, sequence, base_version, size_bytes, *said)
