"""How many bytes one request may ask for, so that the link brings them well within the request's time.

Knows:    what the last requests brought and how long they took. A request that outlasts its limit is dropped and sent
          again, as large as before: over a slow link it would never end.
Never:    reads a clock: times are handed in.
"""

SHARE = 8  # a request takes an eighth of its time at the rate seen last: rates fall, and others use the link too


class Pace:
    """Begins with one unit, since nothing is known of the link; grows at most twofold, falls at once."""

    def __init__(self, *, unit_bytes: int, most_bytes: int, limit_s: float) -> None:
        """
        unit_bytes   what cannot be divided: a chunk with its headers
        most_bytes   more is never asked for, however fast the link is
        limit_s      how long one request may take before it is given up
        """
        self._unit, self.most_bytes, self._limit_s = unit_bytes, max(unit_bytes, most_bytes), limit_s
        self._allowed = float(unit_bytes)

    @property
    def request_bytes(self) -> int:
        """What the next request may ask for: whole units, at least one."""
        if self._allowed >= self.most_bytes:
            return self.most_bytes
        return max(1, int(self._allowed / self._unit)) * self._unit

    def took(self, size_bytes: int, seconds: float) -> None:
        """A request brought so many bytes in so many seconds."""
        if size_bytes <= 0:
            return
        carried = size_bytes * self._limit_s / SHARE / max(seconds, 1e-6)
        self._allowed = max(self._unit, min(carried, 2.0 * max(self._allowed, self._unit), self.most_bytes))

    def timed_out(self) -> None:
        """A request did not end in time: ask for the least, and find the rate anew."""
        self._allowed = float(self._unit)
