"""What the operating system says of a file, with its path, and what helps against it."""

import errno
import os
import stat
from pathlib import Path
from typing import IO

_FULL = (errno.ENOSPC, errno.EDQUOT)
FREE_SPACE = "free space on the disk on which that lies"


def said(error: OSError, path: Path) -> str:
    """The error in words; `path` is named where the system names none, as for every write to a full disk."""
    return f"{error.filename or path}: {error.strerror or error}"


def to_do(error: OSError, otherwise: str) -> str:
    """What helps: space on a full disk, else what the caller thinks."""
    return FREE_SPACE if error.errno in _FULL else otherwise


def in_words(error: Exception, path: Path) -> str:
    """An error as one line; of a file with its path, and what helps where the disk is full."""
    if not isinstance(error, OSError):
        return str(error)
    hint = to_do(error, "")
    return f"{said(error, path)}; {hint}" if hint else said(error, path)


def open_plain(path: Path, size_bytes: int | None = None) -> IO[bytes]:
    """Open a file for reading that has to be a plain one of this very name, without ever waiting for it.

    Raises OSError for a link, a pipe, a socket, a folder, and (with `size_bytes`) for a file of another size.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(path))
        if size_bytes not in (None, status.st_size):
            raise OSError(errno.EINVAL, f"has {status.st_size} bytes instead of {size_bytes}", str(path))
        return open(handle, "rb", buffering=0)
    except BaseException:
        os.close(handle)
        raise
