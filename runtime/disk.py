"""What the operating system says of a file, with its path, and what helps against it.

Used by: coordinator, participant; wardround by way of participant.
"""

import errno
from pathlib import Path

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
