"""One process per data folder: a file lock that dies with its process and names its holder."""

import fcntl
import os
from pathlib import Path
from typing import Self

from runtime.disk import said, to_do
from schemas.errors import LocalError

HINT = "one service per data folder: stop the other one first, or name another data_dir"


class FolderLock:
    """Held until the process ends; the file keeps the holder's process id for people and scripts to read."""

    def __init__(self, folder: Path, *, hint: str = HINT) -> None:
        """Raises LocalError when another process holds the folder, or the folder cannot be written."""
        path = folder / "lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+")
        except OSError as error:
            hint = to_do(error, "check the folder's owner")
            raise LocalError(f"cannot be written: {said(error, path)}", hint=hint) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise LocalError(
                f"{folder}: in use by process {holder}",
                hint=hint,
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another process have the folder; the end of this process does the same."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
