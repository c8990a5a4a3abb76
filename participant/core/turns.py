"""Whose turn it is at the trainer: the one order in which all studies of a site share it. Learning comes first.

  1  learning: load a study's task and data, measure the version that was fetched, train from it
  2  the rest: the local baseline, and every bootstrap

Knows:    who has the trainer and who waits. Among equals, who asked first is served first: studies take turns. Work of
          the second kind begins when nothing of the first is wanted, and is put aside as soon as something is.
Never:    drops what was put aside: it asks again, and goes on where it was.

In one study a version is measured before it is trained from (participant.core.work): one pass over the test patients,
without a bootstrap, on which the stop rules of all sites depend. When measuring fails, training does not wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """The smaller goes first."""

    LEARNING = 1
    BASELINE = 2


@dataclass(eq=False, slots=True)
class Turn:
    """One piece of work; `begin` is called when it has the trainer, `yields` once if it is to put itself aside."""

    rank: Rank
    begin: Callable[[], object]
    yields: Callable[[], object] = lambda: None
    wanted_back: bool = False  # something that goes before it waits


class Turns:
    """One piece of work at a time."""

    def __init__(self) -> None:
        self._waiting: list[Turn] = []
        self._at_work: Turn | None = None

    def ask(self, turn: Turn) -> None:
        """Stand in line; whoever has it now may be asked to put its work aside."""
        self._waiting.append(turn)
        self._look()

    def done(self, turn: Turn) -> None:
        """It has ended, was put aside, or does not want its turn any more."""
        if self._at_work is turn:
            self._at_work = None
        else:
            self._waiting.remove(turn)
        self._look()

    def _look(self) -> None:
        if not self._waiting:
            return
        first = min(self._waiting, key=lambda turn: turn.rank)  # the earliest of its rank
        held = self._at_work
        if held is None:
            self._waiting.remove(first)
            self._at_work = first
            first.begin()
        elif first.rank < held.rank and not held.wanted_back:
            held.wanted_back = True
            held.yields()
