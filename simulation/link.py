"""The way between one process and the broker: how much passes, how late, and whether its client notices a failure.

Knows:    everything that will happen to the link, as spans of time; so the end of any transfer can be computed at once.
Never:    draws at random: a history's faults are drawn before it begins.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulation.clock import NEVER_MS

NOTICED_MS = 3_000  # a client takes a silent link for dead after this time

Span = tuple[int, int, "Quality"]  # from, to, in milliseconds


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares of the rates that are left, how many times later things arrive, and whether a cut goes unnoticed."""

    up: float = 1.0
    down: float = 1.0
    latency: float = 1.0
    silent: bool = False

    @property
    def works(self) -> bool:
        return self.up > 0 and self.down > 0


GOOD = Quality()
CUT = Quality(0.0, 0.0)
STALLED = Quality(0.0, 0.0, silent=True)


def outside(windows: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans in which a link is cut that is there within `windows` alone; these are sorted and do not overlap."""
    edges = [0, *(edge for window in windows for edge in window), NEVER_MS]
    return [(begin, end, CUT) for begin, end in zip(edges[::2], edges[1::2], strict=True) if end > begin]


class Link:
    """One process's link. Rates are bytes a second."""

    def __init__(self, latency_ms: int, up_bytes_s: float, down_bytes_s: float, spans: Iterable[Span] = ()) -> None:
        self.latency_ms = latency_ms
        self._up, self._down = up_bytes_s / 1000, down_bytes_s / 1000
        self._starts, self._qualities = _segments(sorted(spans, key=lambda span: span[:2]))

    def sent_ms(self, start_ms: int, size_bytes: int) -> int:
        """When the broker has all of `size_bytes`; NEVER_MS when the link does not come back."""
        return self._end(start_ms, size_bytes, self._up, up=True)

    def fetched_ms(self, start_ms: int, size_bytes: int) -> int:
        """When the process has all of `size_bytes` from the broker; NEVER_MS when the link does not come back."""
        return self._end(start_ms, size_bytes, self._down, up=False)

    def moved(self, start_ms: int, now_ms: int, size_bytes: int, *, up: bool) -> int:
        """How much of a transfer of `size_bytes` has passed by `now_ms`."""
        rate, moved = self._up if up else self._down, 0.0
        for index in range(self._index(start_ms), len(self._starts)):
            begin, end = max(start_ms, self._starts[index]), min(now_ms, self._until(index))
            if begin >= end:
                break
            quality = self._qualities[index]
            moved += (end - begin) * rate * (quality.up if up else quality.down)
        return min(size_bytes, int(moved))

    def works(self, at_ms: int) -> bool:
        return self._qualities[self._index(at_ms)].works

    def changes(self) -> list[tuple[int, bool]]:
        """What the process's clients notice: (when, connected), beginning with the state at 0."""
        found: list[tuple[int, bool]] = [(0, self._qualities[0].works)]
        for index in range(1, len(self._starts)):
            quality, at = self._qualities[index], self._starts[index]
            if quality.works:
                found.append((at, True))
            elif not quality.silent:
                found.append((at, False))
            elif self._until(index) - at > NOTICED_MS:
                found.append((at + NOTICED_MS, False))
        return [one for at, one in enumerate(found) if at == 0 or one[1] != found[at - 1][1]]

    def _end(self, start_ms: int, size_bytes: int, rate: float, *, up: bool) -> int:
        index, at, left = self._index(start_ms), float(start_ms), float(size_bytes)
        while True:
            quality, until = self._qualities[index], self._until(index)
            share = rate * (quality.up if up else quality.down)
            if share > 0:
                needed = left / share
                if at + needed <= until:
                    return int(at + needed + 0.999) + round(self.latency_ms * quality.latency)
                left -= (until - at) * share
            if until == NEVER_MS:
                return NEVER_MS
            at, index = float(until), index + 1

    def _index(self, at_ms: int) -> int:
        return bisect_right(self._starts, at_ms) - 1

    def _until(self, index: int) -> int:
        return self._starts[index + 1] if index + 1 < len(self._starts) else NEVER_MS


def _segments(spans: Sequence[Span]) -> tuple[list[int], list[Quality]]:
    """The spans, which may overlap, as one quality after another."""
    edges = sorted({0, *(max(0, span[0]) for span in spans), *(span[1] for span in spans if span[1] < NEVER_MS)})
    starts, qualities = [0], [GOOD]
    active: list[Span] = []
    following = 0
    for edge in edges:
        while following < len(spans) and spans[following][0] <= edge:
            active.append(spans[following])
            following += 1
        active = [span for span in active if span[1] > edge]
        quality = _worst([span[2] for span in active])
        if edge == 0:
            qualities[0] = quality
        elif quality != qualities[-1]:
            starts.append(edge)
            qualities.append(quality)
    return starts, qualities


def _worst(qualities: Sequence[Quality]) -> Quality:
    if not qualities:
        return GOOD
    silent = all(quality.silent for quality in qualities if not quality.works)
    up, down = min(one.up for one in qualities), min(one.down for one in qualities)
    return Quality(up, down, max(one.latency for one in qualities), silent and not (up > 0 and down > 0))
