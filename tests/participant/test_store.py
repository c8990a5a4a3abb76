"""site.db: what a hospital's outbox and ledger remember, whatever ends the process."""

import contextlib
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from participant.core.stage import Fate
from participant.shell.database import hint_of, in_words
from participant.shell.store import Decision, Left, Row, Store
from schemas.errors import LocalError

CLOCK_S = 1_700_000_000.0
FIRST = int(CLOCK_S) << 20
COUNTED, VOID = Decision(Fate.COUNTED, None, 4, 11), Decision(Fate.VOID, "range")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return opened(tmp_path)


def opened(folder: Path, *, clock_s: float = CLOCK_S) -> Store:
    return Store(folder, "site-1", clock=lambda: clock_s)


def row(sequence: int = FIRST, base_version: int = 3) -> Row:
    return Row("demo", sequence, base_version, b"header", b"s" * 64, b"k" * 32, b"d" * 64, 700_000)


def put(store: Store, sequence: int = FIRST, base_version: int = 3) -> Row:
    store.sequence_next("demo")
    one = row(sequence, base_version)
    store.put(one, Left("demo", b"p" * 32, "update", 700_000, sequence, base_version))
    return one


def test_sequences_of_a_fresh_outbox_begin_by_the_clock_and_never_look_at_it_again(tmp_path: Path) -> None:
    assert opened(tmp_path).sequence_next("demo") == FIRST
    assert opened(tmp_path, clock_s=5.0).sequence_next("demo") == FIRST


def test_an_update_is_in_outbox_ledger_and_sequence_or_in_none(tmp_path: Path, store: Store) -> None:
    put(store)
    again = opened(tmp_path)
    restored = again.restored("demo")
    assert restored.entries == ((FIRST, 3, -1),)
    assert restored.trained == {3: FIRST}
    assert restored.sequence_next == FIRST + 1
    assert [line[1:7] for line in again.ledger()] == [("demo", b"p" * 32, FIRST, 3, "update", 700_000)]
    with pytest.raises(sqlite3.IntegrityError):
        put(again)  # the same sequence once more
    assert len(again.ledger()) == 1
    assert again.sequence_next("demo") == FIRST + 1


def test_the_key_of_a_body_stays_out_of_logs() -> None:
    assert "kkk" not in repr(row())


def test_an_upload_that_was_cut_goes_on_after_a_restart(tmp_path: Path, store: Store) -> None:
    one = put(store)
    store.note_acked(one, [(0, 17), (1, 18)])
    store.flush()
    assert opened(tmp_path).row("demo", FIRST).acked == {0: 17, 1: 18}


def test_an_update_offered_before_a_restart_can_be_offered_again_without_sending_its_body(
    tmp_path: Path, store: Store
) -> None:
    one = put(store)
    store.note_acked(one, [(0, 17)])
    store.note_offered(one, 40)
    store.flush()
    again = opened(tmp_path)
    assert again.restored("demo").entries == ((FIRST, 3, 40),)
    assert again.row("demo", FIRST).acked == {0: 17}


def test_a_settled_update_leaves_no_acknowledged_chunks(tmp_path: Path, store: Store) -> None:
    one = put(store)
    store.note_acked(one, [(0, 17)])
    store.note_settled(one, tmp_path / "body", COUNTED, again=False)
    store.flush()
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db")) as database:
        assert database.execute("SELECT count(*) FROM acked").fetchone() == (0,)


def test_a_body_asked_for_again_forgets_what_was_acknowledged(tmp_path: Path, store: Store) -> None:
    one = put(store)
    one.acked[0] = 17
    store.note_acked(one, [(0, 17)])
    store.note_anew(one)
    store.flush()
    assert opened(tmp_path).row("demo", FIRST).acked == {}


def test_a_settled_update_goes_with_its_body_but_its_base_version_stays_trained(tmp_path: Path, store: Store) -> None:
    body = tmp_path / "body"
    body.touch()
    store.note_settled(put(store), body, COUNTED, again=False)
    assert store.rows("demo") == []
    assert body.exists()  # until the database has it
    store.flush()
    assert not body.exists()
    restored = opened(tmp_path).restored("demo")
    assert restored.entries == ()
    assert restored.trained == {3: FIRST}
    assert restored.counted == 1


def test_a_void_update_frees_its_base_version(tmp_path: Path, store: Store) -> None:
    store.note_settled(put(store), tmp_path / "body", VOID, again=True)
    store.flush()
    restored = opened(tmp_path).restored("demo")
    assert restored.trained == {}
    assert restored.counted == 0


def test_a_later_update_of_the_same_base_version_keeps_it_trained(tmp_path: Path, store: Store) -> None:
    first = put(store)
    store.note_settled(first, tmp_path / "body", VOID, again=True)
    put(store, FIRST + 1)
    assert opened(tmp_path).restored("demo").trained == {3: FIRST + 1}


def test_what_waits_is_written_with_the_next_update(tmp_path: Path, store: Store) -> None:
    store.count("demo", "bytes-up", 10)
    store.count("demo", "bytes-up", 5)
    store.note_left(Left("demo", b"", "evaluation", 300))
    assert store.waiting
    put(store)
    assert not store.waiting
    again = opened(tmp_path)
    assert again.fact("demo", "bytes-up") == 15
    assert [line[5] for line in again.ledger()] == ["evaluation", "update"]


def test_the_ledger_can_be_neither_changed_nor_shortened(tmp_path: Path, store: Store) -> None:
    put(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db", isolation_level=None)) as other:
        for statement in ("DELETE FROM ledger", "UPDATE ledger SET bytes = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)


def test_what_became_of_an_update_stays_for_the_operator_and_cannot_be_changed(tmp_path: Path, store: Store) -> None:
    store.note_settled(put(store), tmp_path / "body", VOID, again=True)
    store.note_settled(put(store, FIRST + 1), tmp_path / "body", COUNTED, again=False)
    store.flush()
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db", isolation_level=None)) as other:
        assert other.execute("SELECT sequence, outcome, code, version, weight FROM decided").fetchall() == [
            (FIRST, "void", "range", None, 0),
            (FIRST + 1, "counted", None, 4, 11),
        ]
        for statement in ("DELETE FROM decided", "UPDATE decided SET outcome = 'counted'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)


def test_a_database_from_before_decisions_were_kept_is_brought_up_to_date(tmp_path: Path, store: Store) -> None:
    put(store)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db")) as old, old:
        old.execute("DROP TABLE decided")
        old.execute("UPDATE meta SET value = 1 WHERE name = 'format'")
    again = opened(tmp_path)
    again.note_settled(again.row("demo", FIRST), tmp_path / "body", COUNTED, again=False)
    again.close()
    assert opened(tmp_path).rows("demo") == []


def test_the_first_and_the_newest_record_that_were_seen_of_a_log_are_remembered(tmp_path: Path, store: Store) -> None:
    for record in (*range(9), *range(5)):  # read once, and again from its beginning up to a loss
        store.note_seen("demo", record, bytes([record]) * 32)
    store.note_seen("other", 3, b"o" * 32)
    assert store.waiting
    put(store)
    assert not store.waiting
    again = opened(tmp_path)
    assert again.seen("demo") == {0: bytes(32), 8: b"\x08" * 32}
    assert again.seen("other") == {3: b"o" * 32}
    assert again.seen("none") == {}
    assert again.restored("demo").record == 8
    assert again.restored("none").record == -1


def test_what_was_seen_costs_two_rows_and_no_transaction_of_its_own(store: Store) -> None:
    before = store._journal._db.total_changes
    for record in range(1_000):
        store.note_seen("demo", record, bytes(32))
    assert store._journal._db.total_changes == before
    store.flush()
    assert store._journal._db.total_changes == before + 2
    store.note_seen("demo", 999, bytes(32))
    assert not store.waiting


def test_a_database_from_before_records_were_remembered_is_opened_and_remembers_from_then_on(
    tmp_path: Path, store: Store
) -> None:
    put(store)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db")) as old, old:
        old.execute("DROP TABLE seen")
    again = opened(tmp_path)
    assert again.seen("demo") == {}
    again.note_seen("demo", 4, b"d" * 32)
    again.close()
    assert opened(tmp_path).seen("demo") == {4: b"d" * 32}
    assert opened(tmp_path).sequence_next("demo") == FIRST + 1


def test_what_was_seen_is_beside_what_an_earlier_program_reads_and_writes(tmp_path: Path, store: Store) -> None:
    """It knows format 2 without that table: it goes on as ever, and what was met before stays true."""
    store.note_seen("demo", 4, b"d" * 32)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db")) as earlier, earlier:
        assert earlier.execute("SELECT value FROM meta WHERE name = 'format'").fetchone() == (2,)
        earlier.execute("INSERT INTO trained VALUES ('demo', 9, 1)")
    restored = opened(tmp_path).restored("demo")
    assert (restored.record, restored.trained) == (4, {9: 1})


def test_a_study_that_begins_anew_is_forgotten_but_for_ledger_decisions_and_sequences(
    tmp_path: Path, store: Store
) -> None:
    body = tmp_path / "body"
    body.touch()
    store.note_settled(put(store), tmp_path / "none", COUNTED, again=False)
    store.note_offered(put(store, FIRST + 1, 4), 9)
    store.note_seen("demo", 0, b"a" * 32)
    store.note_seen("demo", 7, b"b" * 32)
    store.note_seen("other", 7, b"c" * 32)
    store.note_fact("demo", "evaluated", 4)
    store.note_fact("demo", "alone-auc", 0.5)
    assert store.forget("demo", lambda row: body) == (FIRST + 1,)
    assert not body.exists()
    again = opened(tmp_path)
    restored = again.restored("demo")
    assert (restored.entries, restored.trained, restored.record, restored.counted) == ((), {}, -1, 0)
    assert (restored.evaluated, restored.alone_done, restored.sequence_next) == (-1, True, FIRST + 2)
    assert again.seen("demo") == {}
    assert again.seen("other") == {7: b"c" * 32}
    assert len(again.ledger()) == 2
    assert [line[6] for line in again._journal._db.execute("SELECT * FROM decided")] == ["counted", "forgotten"]
    again.note_settled(put(again, FIRST + 2, 0), tmp_path / "none", COUNTED, again=False)
    again.flush()
    assert again.restored("demo").counted == 1
    assert again.forget("demo", lambda row: body) == ()
    assert again.restored("demo").counted == 0


def test_nothing_is_forgotten_of_a_study_that_nobody_knows(store: Store) -> None:
    with pytest.raises(LocalError, match="knows nothing of a study demos"):
        store.forget("demos", lambda row: Path())


def test_a_full_disk_keeps_everything_waiting_and_changes_nothing(tmp_path: Path, store: Store) -> None:
    store.note_fact("demo", "evaluated", 4)
    store.sequence_next("demo")
    pages = store._journal._db.execute("PRAGMA page_count").fetchone()[0]
    store._journal._db.execute(f"PRAGMA max_page_count={pages}")
    big = row()
    big.chunk_digests = bytes(1_000_000)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put(big, Left("demo", b"", "update", 1, FIRST, 3))
    assert store.rows("demo") == []
    assert store.waiting
    store._journal._db.execute("PRAGMA max_page_count=1000000")
    store.flush()
    assert opened(tmp_path).fact("demo", "evaluated") == 4
    assert opened(tmp_path).ledger() == []


def test_a_transaction_survives_a_power_cut(store: Store) -> None:
    """FULL syncs the write-ahead log at every commit; what SQLite does with that is its own promise."""
    assert store._journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_sites_database_is_refused(tmp_path: Path, store: Store) -> None:
    store.close()
    with pytest.raises(LocalError, match="belongs to site-1"):
        Store(tmp_path, "site-2")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.db").write_bytes(b"something else" * 100)
    with pytest.raises(LocalError, match="no database, or damaged"):
        opened(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_dropped_and_no_other_study_notices(tmp_path: Path, value: float) -> None:
    store = opened(tmp_path)
    store.note_fact("bad-study", "train-seconds", 2.0)
    with structlog.testing.capture_logs() as logs:
        store.note_fact("bad-study", "alone-auc", value)
        store.count("bad-study", "train-seconds", value)
    store.note_fact("good-study", "alone-auc", 0.75)
    store.close()
    again = opened(tmp_path)
    assert again.facts("bad-study", "") == {"train-seconds": 2.0}
    assert again.fact("good-study", "alone-auc") == 0.75
    assert [(line["study"], line["name"]) for line in logs] == [
        ("bad-study", "alone-auc"),
        ("bad-study", "train-seconds"),
    ]


def test_what_no_database_takes_is_dropped_alone_and_said(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.note_left(Left("bad-study", b"", "update", 2**70))
    store.note_seen("bad-study", 3, None)  # type: ignore[arg-type]  # what its caller must never hand in
    store.note_left(Left("good-study", b"", "update", 5))
    with structlog.testing.capture_logs() as logs:
        store.flush()
    assert [line[1] for line in opened(tmp_path).ledger()] == ["good-study"]
    assert [line["table"] for line in logs] == ["ledger", "seen"]
    assert not store.waiting


def test_a_database_that_cannot_be_written_lets_the_service_end_and_is_said(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.note_fact("demo", "evaluated", 4)
    store._journal._db.execute("PRAGMA query_only=1")
    with structlog.testing.capture_logs() as logs:
        store.close()
    assert "cannot be written" in logs[0]["reason"]
    assert "disk" not in logs[0]["hint"]


def test_an_error_of_the_database_is_told_as_what_it_is(tmp_path: Path) -> None:
    def said(do: Callable[[sqlite3.Connection], object]) -> tuple[str, str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "other.db", timeout=0)) as database:
            try:
                do(database)
            except sqlite3.Error as error:
                return in_words(error, Path("site.db")), hint_of(error)
        raise AssertionError("no error")

    broken = said(lambda db: db.executescript("CREATE TABLE one (a NOT NULL); INSERT INTO one VALUES (NULL)"))
    assert "fault of the software" in broken[1]
    assert "disk" not in broken[1]
    full = said(lambda db: db.executescript("PRAGMA max_page_count=2; CREATE TABLE b AS SELECT zeroblob(99999)"))
    assert "the disk is full" in full[0]
    assert "free space" in full[1]
    (tmp_path / "other.db").write_bytes(b"something else" * 100)
    assert "damaged" in said(lambda db: db.execute("SELECT * FROM sqlite_master"))[0]


def test_the_database_is_this_users_alone(tmp_path: Path, store: Store) -> None:
    assert (tmp_path / "site.db").stat().st_mode & 0o077 == 0
