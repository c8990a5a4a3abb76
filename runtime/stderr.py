"""Lines for stderr that neither end nor hold up who writes them: the disk is full, the reader gone or asleep.

Knows:    how many lines were lost and why: counted at once, and said as soon as a line can be written again.
Never:    raises; waits longer than a moment. Python's own stream keeps what it could not write, and fails at the exit.
"""

import io
import os
import select
import sys
import threading
from collections.abc import Callable

PATIENCE_S = 0.1  # how long a line waits for a reader that is slow; once one was lost the next ones do not wait
_PIECE_BYTES = select.PIPE_BUF  # a pipe that is ready takes so much without waiting


class Stderr:
    """Whatever `sys.stderr` is at the time of writing: a stream put there for a while is not written to after it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._listeners: list[Callable[[int], None]] = []
        self._unsaid, self._reason = 0, ""
        self._torn = False  # the beginning of a line was written, its end was not

    def on_lost(self, callback: Callable[[int], None]) -> None:
        """Call `callback(lines)` whenever lines could not be written; it must not raise or block."""
        self._listeners.append(callback)

    def write(self, text: str) -> int:
        """Write text that ends with a line, as far as that is possible just now; returns its length."""
        with self._lock:
            try:
                _put(("\n" if self._torn else "") + text, self._patience_s)
            except (OSError, ValueError) as error:
                self._lose(text, error)
            else:
                self._torn = False
        return len(text)

    def flush(self) -> None:
        """Nothing waits to be written."""

    def recovered(self) -> tuple[int, str]:
        """How many lines were lost and why, told once and when one was written again; (0, "") else."""
        with self._lock:
            if self._torn or not self._unsaid:
                return 0, ""
            lost, self._unsaid = self._unsaid, 0
            return lost, self._reason

    @property
    def _patience_s(self) -> float:
        return 0.0 if self._unsaid else PATIENCE_S

    def _lose(self, text: str, error: OSError | ValueError) -> None:
        lines = max(1, text.count("\n"))
        self._unsaid += lines
        self._reason = getattr(error, "strerror", None) or str(error)
        self._torn = True  # perhaps: then an empty line comes too much
        for listener in self._listeners:
            listener(lines)


STDERR = Stderr()


def _put(text: str, patience_s: float) -> None:
    stream = sys.stderr
    if stream is None:
        raise ValueError("there is no stderr")
    if not isinstance(stream, io.TextIOWrapper) or stream is not sys.__stderr__:
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    left = memoryview(text.encode(stream.encoding or "utf-8", "backslashreplace"))
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    while left:
        if not poll.poll(patience_s * 1000):
            raise BlockingIOError(0, "its reader takes nothing")
        left = left[os.write(stream.fileno(), left[:_PIECE_BYTES]) :]


def forget_unwritten() -> None:
    """Throw away what Python's own stream could not write, or the exit would fail of it. To be called last."""
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def keep_standard_streams() -> None:
    """Let no file that is opened become stdin, stdout or stderr where one of these was closed by who started this.

    To be called first: what a library writes to stderr would land in that file.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            if getattr(sys, name) is None:
                setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # for as long as the process lives
