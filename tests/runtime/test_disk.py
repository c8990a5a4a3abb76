"""What is said of a disk names a path and helps; a full one is not mistaken for a wrong owner."""

import errno
import os
from pathlib import Path

import pytest

from runtime.disk import FREE_SPACE, in_words, open_plain, said, to_do

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_by_the_folder_where_the_system_names_no_file() -> None:
    assert said(FULL, Path("/data")) == "/data: No space left on device"
    assert to_do(FULL, "check its owner") == FREE_SPACE


def test_what_the_system_names_is_named() -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/wish.json")
    assert said(denied, Path("/data")) == "/data/wish.json: Permission denied"
    assert to_do(denied, "check its owner") == "check its owner"


def test_one_line_says_which_path_and_what_helps() -> None:
    assert in_words(FULL, Path("/data")) == f"/data: No space left on device; {FREE_SPACE}"
    assert in_words(FileNotFoundError(2, "No such file", "/data/x"), Path("/data")) == "/data/x: No such file"
    assert in_words(ValueError("odd"), Path("/data")) == "odd"


def test_only_a_plain_file_of_its_own_name_is_opened_and_nothing_is_waited_for(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"12345678")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(plain)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder", "none"):
        with pytest.raises(OSError, match=name):
            open_plain(tmp_path / name)
    for size_bytes in (7, 9):
        with pytest.raises(OSError, match="has 8 bytes"):
            open_plain(plain, size_bytes)
    with open_plain(plain, 8) as file:
        assert file.read() == b"12345678"
