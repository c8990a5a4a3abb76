"""When something that failed may be tried again: pauses that double, with jitter handed in."""

from collections.abc import Callable

BACKOFF_MIN_MS = 1_000
BACKOFF_MAX_MS = 300_000
TRIES_MAX = 3  # failures in a row until people have to know
HURRIED_MAX = 3  # failures in a row from which on nothing cuts a pause short


class Pauses:
    """Failures in a row and the end of the pause, per kind of work."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self._jitter = jitter
        self._failures: dict[str, int] = {}
        self._until_ms: dict[str, int] = {}

    @property
    def calm(self) -> bool:
        """Whether nothing has failed the last time that it was tried."""
        return not self._failures

    def failures(self, kind: str) -> int:
        return self._failures.get(kind, 0)

    def failed(self, kind: str, now_ms: int, *, pauses: str = "", took_ms: int = 0) -> None:
        """Count one more failure of `kind`, and pause it (or, with `pauses`, another kind) for longer than before.

        took_ms   what the failure cost of something that others wait for: they get at least as much
        """
        self._failures[kind] = self.failures(kind) + 1
        self._until_ms[pauses or kind] = now_ms + max(took_ms, self.length_ms(self._failures[kind]))

    def passed(self, kind: str) -> None:
        """It went well, or circumstances changed: forget failures and pause."""
        self._failures.pop(kind, None)
        self._until_ms.pop(kind, None)

    def hurry(self, kind: str) -> None:
        """Circumstances changed: try again now, unless it has failed too often for that. Failures stay counted."""
        if self.failures(kind) < HURRIED_MAX:
            self._until_ms.pop(kind, None)

    def over(self, kind: str, now_ms: int) -> bool:
        """Whether `kind` may be tried now."""
        return now_ms >= self._until_ms.get(kind, 0)

    def ends(self, kind: str, now_ms: int) -> bool:
        """Whether a pause of `kind` has just ended; True once."""
        if kind not in self._until_ms or not self.over(kind, now_ms):
            return False
        del self._until_ms[kind]
        return True

    def next_ms(self, now_ms: int) -> int | None:
        """When the next pause ends."""
        return min((until for until in self._until_ms.values() if until > now_ms), default=None)

    def length_ms(self, failures: int) -> int:
        """Doubles from one second to five minutes; its upper half is drawn, so that sites do not return as one."""
        limit = min(BACKOFF_MAX_MS, BACKOFF_MIN_MS << min(failures - 1, 20))
        return max(1, round(limit * (0.5 + self._jitter() / 2)))
