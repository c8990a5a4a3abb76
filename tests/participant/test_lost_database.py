"""site.db that is gone, old, damaged or taken away under a running service: one sentence, and a way on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from participant.shell.mark import NAME
from participant.shell.store import Left, Row, Store
from schemas.errors import LocalError

PLAN = b"p" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "outbox").mkdir(parents=True)
    return made


def opened(folder: Path) -> Store:
    return Store(folder, "site-1", clock=lambda: 1_700_000_000.0)


def put(store: Store) -> int:
    sequence = store.sequence_next("demo")
    row = Row("demo", sequence, sequence % 1000, b"header", b"s" * 64, b"k" * 32, b"d" * 32, 100)
    store.put(row, Left("demo", PLAN, "update", 100, sequence, row.base_version))
    return sequence


def test_a_folder_that_is_as_it_was_left_opens_again(folder: Path) -> None:
    store = opened(folder)
    sequence = put(store)
    (folder / "outbox" / f"demo.{sequence}").touch()
    (folder / "outbox" / f"demo.{sequence + 1}").touch()  # the next body was written, and the process killed
    again = opened(folder)  # the first was killed
    put(again)
    again.close()
    assert len(opened(folder).ledger()) == 2


@pytest.mark.parametrize("sidecars", ["kept", "removed"])
def test_a_database_that_was_deleted_is_no_fresh_one(folder: Path, sidecars: str) -> None:
    store = opened(folder)
    put(store)
    store.close()
    (folder / "site.db").unlink()
    for name in ("site.db-wal", "site.db-shm") if sidecars == "removed" else ():
        (folder / name).unlink(missing_ok=True)
    for _ in range(2):  # a second start says the same
        with pytest.raises(LocalError, match="gone or empty") as gone:
            opened(folder)
        assert "move the whole data folder away" in gone.value.hint


def test_a_copy_without_its_wal_is_noticed(folder: Path, tmp_path: Path) -> None:
    store = opened(folder)
    put(store)
    store._journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    put(store)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    with pytest.raises(LocalError, match=r"lacks its site.db-wal: its ledger has 1 lines, and had 2"):
        opened(copy)
    (copy / NAME).unlink()  # the outbox tells as well
    (copy / "outbox" / f"demo.{store.sequence_next('demo') - 1}").touch()
    opened(copy)  # that body may be half-way in
    (copy / "outbox" / f"demo.{store.sequence_next('demo') + 5}").touch()
    with pytest.raises(LocalError, match="of which it knows nothing"):
        opened(copy)


def test_an_old_copy_put_back_over_a_newer_database_is_noticed(folder: Path, tmp_path: Path) -> None:
    store = opened(folder)
    put(store)
    store.close()
    shutil.copy(folder / "site.db", tmp_path / "backup.db")
    store = opened(folder)
    put(store)
    store.close()
    shutil.copy(tmp_path / "backup.db", folder / "site.db")
    with pytest.raises(LocalError, match="an old copy"):
        opened(folder)


def test_another_database_of_the_same_site_is_noticed(folder: Path, tmp_path: Path) -> None:
    opened(folder).close()
    (tmp_path / "other").mkdir()
    opened(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "site.db", folder / "site.db")
    with pytest.raises(LocalError, match="another database"):
        opened(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 1, "lines": 2}', '{"id": "x"}', json.dumps("x" * 9000)])
def test_a_mark_that_says_nothing_is_made_anew(folder: Path, content: str) -> None:
    store = opened(folder)
    put(store)
    store.close()
    (folder / NAME).write_text(content)
    opened(folder).close()
    assert json.loads((folder / NAME).read_text())["lines"] == 1


@pytest.mark.parametrize(
    "act", [Path.unlink, lambda path: path.rename(path.with_name("away")), lambda path: replaced(path)]
)
def test_a_database_taken_away_under_a_running_service_is_noticed_and_saved(
    folder: Path, act: Callable[[Path], object]
) -> None:
    store = opened(folder)
    first = put(store)
    store.note_fact("demo", "train-seconds", 2.0)
    act(folder / "site.db")
    with pytest.raises(LocalError, match="while the service ran; all it held is saved") as gone:
        put(store)
    assert "rename site.db.saved to site.db" in gone.value.hint
    store.close()  # what waited goes into the saved one
    for name in ("site.db", "site.db-wal", "site.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "site.db.saved").rename(folder / "site.db")
    again = opened(folder)
    assert [line[3] for line in again.ledger()] == [first]
    assert again.fact("demo", "train-seconds") == 2.0


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def test_nothing_is_said_while_the_database_is_where_it_was(folder: Path) -> None:
    store = opened(folder)
    store.check_place()
    put(store)
    store.check_place()


def test_a_damaged_page_is_told_at_the_start_without_a_traceback(folder: Path) -> None:
    store = opened(folder)
    for _ in range(200):
        put(store)
    store.close()
    content = bytearray((folder / "site.db").read_bytes())
    pages = len(content) // 4096
    assert pages > 20
    for page in range(10, pages):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    (folder / "site.db").write_bytes(content)
    with pytest.raises(LocalError, match="damaged") as damaged:
        opened(folder)
    assert "disk" in damaged.value.hint
