"""A file is written whole or not at all: after a crash there is the old one or the new one."""

import os
from pathlib import Path

from schemas.errors import LocalError


def write_whole(path: Path, content: bytes | memoryview, *, mode: int | None = None) -> None:
    """Write a file whole or not at all. Raises LocalError, e.g. when the disk is full.

    mode   of the file, from its first byte on; None: as this process makes files
    """
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LocalError(f"{path} cannot be written: {error.strerror}", hint="check free space and rights") from None
