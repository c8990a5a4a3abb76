"""What a task writes to its output: kept in a bounded file at the site, never in the participant's log.

Knows:    how much lies there, and how much was left out. A task may print what it likes, patients' rows too, and its
          libraries warn; a log often goes to others, so nothing of it is let through there.
Never:    reads what is written, or lets a flood take the disk or the service's time: then the task's writing waits.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

BYTES_MAX = 2 * 1024 * 1024  # of both files together: the newer one, and the one before it as `.1`
PERIOD_S = 60.0
PERIOD_BYTES_MAX = 4 * 1024 * 1024  # written in one period; the rest is left out
PART = 65_536  # a pipe holds as much
SLOWLY_S = 0.05  # between two parts of a flood

log = structlog.get_logger()


class TaskOutput:
    """Takes what trainers write, one after another, into `path`."""

    def __init__(self, path: Path, *, on_bytes: Callable[[str, int], None] = lambda fate, count: None) -> None:
        """`on_bytes` hears of what was `kept` or `left-out`, in bytes."""
        self.path, self._on_bytes = path, on_bytes
        self._said, self._complained = False, False
        self._period_s, self._written, self._left_out = time.monotonic(), 0, 0

    def open(self) -> int:
        """The writing end of a pipe for one trainer; the caller closes it. It is read until nobody holds that end."""
        reads, writes = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reads, False)
        asyncio.get_running_loop().add_reader(reads, self._take, reads)
        return writes

    def _take(self, handle: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            part = os.read(handle, PART)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            loop.remove_reader(handle)
            os.close(handle)
            return
        if not self.keep(part):
            loop.remove_reader(handle)
            loop.call_later(SLOWLY_S, loop.add_reader, handle, self._take, handle)

    def keep(self, part: bytes, now_s: float | None = None) -> bool:
        """Write it down, unless too much was written lately; returns whether it was."""
        self._begin_period(time.monotonic() if now_s is None else now_s)
        if not self._said:
            self._said = True
            log.info("the task writes to its output, which stays here", file=str(self.path))
        if self._written + len(part) > PERIOD_BYTES_MAX:
            if not self._left_out:
                log.warning("the task writes too much to its output: left out, and slowed down", file=str(self.path))
            self._leave_out(len(part))
            return False
        try:
            self._append(part)
        except OSError as error:
            if not self._complained:
                log.warning("the task's output cannot be kept", file=str(self.path), reason=error.strerror)
            self._complained = True
            self._leave_out(len(part))
            return True
        self._complained = False
        self._written += len(part)
        self._on_bytes("kept", len(part))
        return True

    def _begin_period(self, now_s: float) -> None:
        if now_s - self._period_s < PERIOD_S:
            return
        left_out, self._left_out = self._left_out, 0
        self._period_s, self._written = now_s, 0
        if left_out:
            with contextlib.suppress(OSError):
                self._append(f"\n[{left_out} bytes were left out here]\n".encode())

    def _leave_out(self, count: int) -> None:
        self._left_out += count
        self._on_bytes("left-out", count)

    def _append(self, part: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size + len(part) > BYTES_MAX // 2:
                os.replace(self.path, self.path.with_name(self.path.name + ".1"))
                os.close(file)
                file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            while part:
                part = part[os.write(file, part) :]
        finally:
            os.close(file)
