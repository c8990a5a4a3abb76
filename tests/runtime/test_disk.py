"""What is said of a disk names a path and helps; a full one is not mistaken for a wrong owner."""

import errno
import os
from pathlib import Path

from runtime.disk import FREE_SPACE, in_words, said, to_do

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
