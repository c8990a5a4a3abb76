"""What an operator's commands amount to, read in the order of their serials.

Knows:    a pause ends with resume (or start), an exclusion with include; a stop is for good; closing means one round.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.records import Action, Command


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds now. `closing` are versions whose round closes as soon as the plan's minimum is there."""

    paused: bool = False
    stopped: bool = False
    excluded: frozenset[str] = frozenset()
    closing: frozenset[int] = frozenset()

    @classmethod
    def of(cls, commands: Iterable[Command]) -> "Orders":
        """The orders that `commands` amount to; each was verified, and their serials rise."""
        paused = stopped = False
        excluded: set[str] = set()
        closing: set[int] = set()
        for command in commands:
            match command.action:
                case Action.PAUSE:
                    paused = True
                case Action.RESUME | Action.START:
                    paused = False
                case Action.STOP:
                    stopped = True
                case Action.EXCLUDE:
                    excluded.add(command.site or "")
                case Action.INCLUDE:
                    excluded.discard(command.site or "")
                case Action.CLOSE:
                    closing.add(command.version or 0)
        return cls(paused, stopped, frozenset(excluded), frozenset(closing))
