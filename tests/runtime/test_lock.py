"""One service a data folder: the second is refused and told who holds it; a killed holder leaves it free."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.lock import FolderLock
from schemas.errors import LocalError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from runtime.lock import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def _holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_lock_file_names_its_holder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "lock").read_text() == str(os.getpid())
    del lock


def test_a_second_service_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    process = _holder(tmp_path)
    try:
        with pytest.raises(LocalError, match=f"in use by process {process.pid}\n") as refused:
            FolderLock(tmp_path)
        assert "stop the other one" in refused.value.hint
        assert (tmp_path / "lock").read_text() == str(process.pid)
    finally:
        _end(process)


def test_a_killed_holder_leaves_the_folder_free_and_its_number_is_replaced(tmp_path: Path) -> None:
    process = _holder(tmp_path)
    _end(process)
    assert (tmp_path / "lock").read_text() == str(process.pid)
    lock = FolderLock(tmp_path)
    assert (tmp_path / "lock").read_text() == str(os.getpid())
    del lock


def test_a_process_that_the_holder_started_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, text=True)
    try:
        del lock
        second = FolderLock(tmp_path)
        del second
    finally:
        _end(child)


def test_a_lock_that_is_released_leaves_the_folder_free(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(LocalError, match=f"in use by process {os.getpid()}\n"):
        FolderLock(tmp_path)
    FolderLock(tmp_path).release()
    FolderLock(tmp_path).release()


def test_two_folders_do_not_disturb_each_other(tmp_path: Path) -> None:
    locks = [FolderLock(tmp_path / name) for name in ("a", "b")]
    assert len(locks) == 2


def test_a_folder_that_cannot_be_written_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot be written"):
        FolderLock(tmp_path / "file" / "data")
