"""Virtual time: what is due next, in one order that depends on nothing but what was asked for.

Knows:    milliseconds since the history began, and every timer by (time, order of asking).
Never:    reads a real clock.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

NEVER_MS = 1 << 60

Timer = list[Any]  # [time_ms, order, call or None, arguments, owner, its life]: a list compares quickly in the heap


class ProcessEnded(Exception):  # noqa: N818  # an end is no error here
    """The process that runs right now ends at this very point; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Owner(Protocol):
    """Whose timer it is: nothing of an earlier life is called, and nothing while it is frozen."""

    life: int
    frozen_until_ms: int

    def ended(self, reason: str) -> None:
        """A call of this owner raised ProcessEnded."""


class Clock:
    """A heap of timers; `now_ms` never falls."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.calls = 0  # timers called so far
        self._heap: list[Timer] = []
        self._order = 0

    def at(self, time_ms: int, owner: Owner, call: Callable[..., None], *arguments: Any) -> Timer:
        """Call at `time_ms` (at once when that has passed), if the owner still lives its present life then."""
        self._order += 1
        timer: Timer = [max(time_ms, self.now_ms), self._order, call, arguments, owner, owner.life]
        if time_ms < NEVER_MS:
            heappush(self._heap, timer)
        return timer

    def after(self, delay_ms: int, owner: Owner, call: Callable[..., None], *arguments: Any) -> Timer:
        return self.at(self.now_ms + delay_ms, owner, call, *arguments)

    def next_ms(self) -> int:
        """When the next timer is due; NEVER_MS when there is none."""
        return int(self._heap[0][0]) if self._heap else NEVER_MS

    def step(self) -> None:
        """Call the next timer."""
        timer = heappop(self._heap)
        time_ms, _, call, arguments, owner, life = timer
        self.now_ms = time_ms
        if call is None or owner.life != life:
            return
        if owner.frozen_until_ms > time_ms:
            timer[0] = owner.frozen_until_ms
            heappush(self._heap, timer)
            return
        self.calls += 1
        try:
            call(*arguments)
        except ProcessEnded as end:
            owner.ended(end.reason)


def cancel(timer: Timer | None) -> None:
    """Never call it."""
    if timer is not None:
        timer[2] = None
