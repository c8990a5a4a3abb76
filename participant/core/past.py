"""Whether a study's log still has what this site has met on it: one that ends before that has lost its end.

Knows:    the newest record and the newest version that this site has met, in this life and in those before.
Never:    judges a log that was not read to its end: whoever still reads has not met everything yet.
Source:   docs/decisions/0032.
"""

from participant.core.restored import Restored

ASK = "ask the federation's operator; docs/operations/log-older-than-its-sites.md says what can be done"


class Past:
    """One study's. Another record in a place where one was met is found by protocol.rounds, not here."""

    def __init__(self, study: str, restored: Restored) -> None:
        self._study = study
        self._seen = restored.record
        self._version = max(restored.evaluated, *restored.trained, -1)
        self._end: int | None = None
        self._stopped = False

    def read(self, end: int | None) -> None:
        """The log was read to its end, record `end`; -1: it has none. None: reading has stopped, as its reader says."""
        self._end, self._stopped = end, end is None
        self._seen = max(self._seen, -1 if end is None else end)

    def lost(self, version: int) -> str:
        """What the log lacks, whose newest version is `version` (-1: none), for the operator; empty when nothing."""
        if self._stopped:
            return ""
        if self._end is not None and self._end < self._seen:
            ends = f"ends at record {self._end}" if self._end >= 0 else "has no record"
            return self._lacks(ends, f"has seen record {self._seen}")
        if version < self._version:
            ends = f"ends at version {version}" if version >= 0 else "has no version"
            return self._lacks(ends, f"has worked on version {self._version}")
        return ""

    def _lacks(self, ends: str, known: str) -> str:
        return (
            f"the log of {self._study} {ends}, this site {known}: the broker lost its end, or the topic was made anew. "
            f"Nothing is trained or sent until the log has it again; {ASK}"
        )
