"""How much the outbox may hold, over all studies: what lies there, and what is being made for it.

Knows:    finished work is never dropped for want of space: it is new training that waits.
"""

from collections.abc import Callable


class OutboxSpace:
    """Bytes that studies hold of the outbox; whoever waits for room is told when that changes."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._held: dict[str, int] = {}
        self._callbacks: list[Callable[[], None]] = []

    @property
    def bytes(self) -> int:
        """What lies in the outbox and what is promised to it."""
        return sum(self._held.values())

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback()` whenever a study holds more or less than before."""
        self._callbacks.append(callback)

    def hold(self, study: str, size_bytes: int) -> None:
        """Note what a study holds: updates that are not decided, and one that is being made."""
        if size_bytes != self._held.get(study, 0):
            self._held[study] = size_bytes
            for callback in self._callbacks:
                callback()

    def has_room(self, study: str, size_bytes: int) -> bool:
        """Whether one update of a study fits beside what the other studies hold; it has one at a time."""
        others = sum(held for name, held in self._held.items() if name != study)
        return others + size_bytes <= self.bytes_max
