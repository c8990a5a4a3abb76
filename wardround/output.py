"""Stdout of a command, watched: output that could not be written is no success, whoever swallows the error.

Knows:    libraries, argparse among them, pass over an error of a stream; what waits in a buffer fails at the exit.
"""

import io
import os
import sys
from typing import Any, BinaryIO, Self, cast


class _Watched(io.FileIO):
    """File descriptor 1; `failed` is the first error of a write."""

    failed: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = self.failed or error
            raise


class Output:
    """Stands in for sys.stdout while it is entered; where somebody else's stream stands there, that is left alone."""

    def __init__(self) -> None:
        self._before = sys.stdout
        self._raw: _Watched | None = None

    def __enter__(self) -> Self:
        if isinstance(self._before, io.TextIOWrapper) and self._before is sys.__stdout__:
            self._before.flush()
            self._raw = _Watched(self._before.fileno(), "w", closefd=False)
            unbuffered = self._before.write_through
            sys.stdout = io.TextIOWrapper(
                cast(BinaryIO, self._raw) if unbuffered else io.BufferedWriter(self._raw),
                encoding=self._before.encoding,
                errors=self._before.errors,
                line_buffering=self._before.line_buffering,
                write_through=unbuffered,
            )
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._before

    def failure(self) -> OSError | None:
        """Write what still waits. Returns why something of the output could not be written; the rest is thrown away."""
        try:
            sys.stdout.flush()
        except OSError as error:
            failed = error
        else:
            if self._raw is None or self._raw.failed is None:
                return None
            failed = self._raw.failed
        if self._raw is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._raw.fileno())
            sys.stdout.flush()
        return failed
