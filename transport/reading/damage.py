"""Says when records are damaged each time they are read: on a broker's disk, and not by a link.

Knows:    a link changes bytes now and then; what lies on a disk is wrong each time, and only a person can mend it.
Never:    gives up: whoever reads tries again, after the pause that it is told.
"""

import structlog

TRIES = 10  # in a row that meet the same damage
PERIOD_S = 30.0  # no more than one line
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0  # the broker answers, so that nothing else slows down who tries

_log = structlog.get_logger("transport")


class Damage:
    """What one reader meets; different damage begins a new count."""

    def __init__(self) -> None:
        self._words, self._times = "", 0
        self._said_s: float | None = None

    def met(self, words: str, now_s: float) -> float:
        """Note the error of a try that failed by damage; returns how long to wait before the next, in seconds."""
        self._times = self._times + 1 if words == self._words else 1
        self._words = words
        if self._times >= TRIES and (self._said_s is None or now_s - self._said_s >= PERIOD_S):
            self._said_s = now_s
            _log.error(
                "records are damaged each time they are read",
                reason=words,
                tries=self._times,
                hint="is the broker's disk damaged, or something on the way? On a cluster let another broker lead the "
                "topic (docs/operations/three-brokers.md), else bring the topic's folder back from a copy",
            )
        return min(PAUSE_S * (self._times - 1), PAUSE_MAX_S)
