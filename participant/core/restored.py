"""What a study's core is told when the service starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Restored:
    """What site.db remembers of a study; the defaults are a fresh one."""

    entries: tuple[tuple[int, int, int], ...] = ()  # (sequence, base version, offset of its Offer or -1), undecided
    trained: Mapping[int, int] = field(default_factory=dict)  # base version -> sequence: not to be trained from again
    sequence_next: int = 0
    evaluated: int = -1  # the highest version measured
    alone_done: bool = False
    counted: int = 0  # updates of this site that counted
    record: int = -1  # the newest record of `rounds` that was met
