"""Work in pieces: a generator that yields the share done after each piece and returns its result.

Knows:    between two pieces such work can be put aside for anything else, and gone on with as if nothing had been.
Never:    loses a piece that was done; the result is the same however often the work was put aside.
Imports:  stdlib, schemas.errors.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from schemas.errors import FederationError

T = TypeVar("T")
Pieces = Generator[float, None, T]  # yields the share of the work done, 0..1
Progress = Callable[[float], None]  # told the share of the work done, 0..1
Cancelled = Callable[[], bool]  # asked before each piece


class TrainingCancelledError(FederationError):
    """The work was told to stop. What it had so far is kept where it is done in pieces, and dropped elsewhere."""


def go_on(pieces: Pieces[T], progress: Progress, cancelled: Cancelled) -> T:
    """Do the pieces that are left. Raises TrainingCancelledError between two of them; call again to go on."""
    share = 0.0
    while True:
        if cancelled():
            raise TrainingCancelledError(f"put aside with {share:.0%} done")
        try:
            share = next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result
        progress(share)


def finish(pieces: Pieces[T], progress: Progress = lambda _: None, cancelled: Cancelled = lambda: False) -> T:
    """Do all of it here and now. Raises TrainingCancelledError; nothing is kept then."""
    with closing(pieces):
        return go_on(pieces, progress, cancelled)


def part(pieces: Pieces[T], begin: float, end: float) -> Pieces[T]:
    """The same work as the part from `begin` to `end` of a larger one."""
    while True:
        try:
            share = next(pieces)
        except StopIteration as last:
            result: T = last.value
            return result
        yield begin + (end - begin) * share
