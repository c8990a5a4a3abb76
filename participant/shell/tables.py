"""The tables of site.db, their format, and bringing an older file up to date."""

import secrets
import sqlite3
from pathlib import Path

from schemas.errors import LocalError

FORMAT = 2
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT;
CREATE TABLE sequences (study TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE outbox (
    study TEXT, sequence INTEGER, base_version INTEGER NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL,
    body_key BLOB NOT NULL, chunk_digests BLOB NOT NULL, size_bytes INTEGER NOT NULL, sealed_ms INTEGER NOT NULL,
    offer_offset INTEGER NOT NULL DEFAULT -1, PRIMARY KEY (study, sequence)) STRICT;
CREATE TABLE acked (
    study TEXT, sequence INTEGER, chunk INTEGER, offset INTEGER NOT NULL, PRIMARY KEY (study, sequence, chunk)) STRICT;
CREATE TABLE trained (
    study TEXT, base_version INTEGER, sequence INTEGER NOT NULL, PRIMARY KEY (study, base_version)) STRICT;
CREATE TABLE facts (study TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (study, name)) STRICT;
CREATE TABLE ledger (
    at_ms INTEGER NOT NULL, study TEXT NOT NULL, plan BLOB NOT NULL, sequence INTEGER, base_version INTEGER,
    what TEXT NOT NULL, bytes INTEGER NOT NULL, messages INTEGER NOT NULL) STRICT;
CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_fixed BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_DECIDED = """
INSERT OR REPLACE INTO meta VALUES ('format', 2);
CREATE TABLE decided (
    at_ms INTEGER NOT NULL, study TEXT NOT NULL, sequence INTEGER NOT NULL, base_version INTEGER NOT NULL,
    bytes INTEGER NOT NULL, offered INTEGER NOT NULL, outcome TEXT NOT NULL, code TEXT, version INTEGER,
    weight INTEGER NOT NULL) STRICT;
CREATE TRIGGER decided_kept BEFORE DELETE ON decided BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER decided_fixed BEFORE UPDATE ON decided BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_SEEN_TABLE = """
CREATE TABLE IF NOT EXISTS seen (
    study TEXT, place TEXT, record INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (study, place)) STRICT;
"""  # no format of its own: who does not know it leaves it as it is, and what was met once stays true


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether nothing was ever written to it; looking changes nothing."""
    return bool(db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0] == 0)


def prepare(db: sqlite3.Connection, path: Path, site: str) -> str:
    """Make or check the tables; returns the database's own random id.

    Raises LocalError for another site's database, another format and a damaged file; sqlite3.Error.
    """
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "cache_size=-256"):
        db.execute(f"PRAGMA {pragma}")
    if is_empty(db):
        db.executescript(f"BEGIN; {_SCHEMA} {_DECIDED} COMMIT;")
    db.execute("INSERT OR IGNORE INTO meta VALUES ('site', ?)", (site,))
    db.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", (secrets.token_hex(16),))
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    if meta.get("format") == 1:  # before decisions were kept
        db.executescript(f"BEGIN; {_DECIDED} COMMIT;")
        meta["format"] = FORMAT
    if meta.get("format") != FORMAT:
        raise LocalError(f"{path} has format {meta.get('format')}, this software reads {FORMAT}")
    if meta.get("site") != site:
        raise LocalError(
            f"{path} belongs to {meta.get('site')}, not to {site}", hint="each site has a data_dir of its own"
        )
    db.execute(_SEEN_TABLE)
    return str(meta["id"])


def check_whole(db: sqlite3.Connection) -> None:
    """Read every page once. Raises sqlite3.DatabaseError when one is damaged."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise Damaged(f"{found[0] if found else 'no answer'}".splitlines()[0])


class Damaged(sqlite3.DatabaseError):
    """SQLite read a page that cannot be right, and did not call it an error."""

    sqlite_errorname = "SQLITE_CORRUPT"
