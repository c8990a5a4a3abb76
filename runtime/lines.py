"""How many log lines one source may cost: what a stranger repeats is counted, and said now and then.

Knows:    per source, how many lines are left to it and how many were kept back; time is passed in.
"""

from dataclasses import dataclass

SOURCES_MAX = 4096
BURST = 5
EVERY_S = 60.0


@dataclass(slots=True)
class _Source:
    left: float
    at_s: float
    kept_back: int = 0


class LineBudget:
    """So many lines a source at once, `burst`, then one each `every_s`."""

    def __init__(self, burst: int = BURST, every_s: float = EVERY_S) -> None:
        self._burst, self._every_s = burst, every_s
        self._sources: dict[str, _Source] = {}

    def ask(self, source: str, now_s: float) -> int | None:
        """Whether a line about `source` may be written now: how many were kept back before it; None where not."""
        known = self._sources.get(source)
        if known is None:
            if len(self._sources) >= SOURCES_MAX:
                self._sources.pop(next(iter(self._sources)))
            known = self._sources[source] = _Source(self._burst, now_s)
        known.left = min(self._burst, known.left + (now_s - known.at_s) / self._every_s)
        known.at_s = now_s
        if known.left < 1:
            known.kept_back += 1
            return None
        known.left -= 1
        kept_back, known.kept_back = known.kept_back, 0
        return kept_back
