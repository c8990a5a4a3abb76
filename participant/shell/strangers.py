"""Records of others that could not be believed: counted, and said with few lines."""

import time

import structlog

from participant.shell.metrics import ParticipantMetrics
from runtime.lines import LineBudget
from schemas.errors import PeerError
from transport.reading.log import Entry

log = structlog.get_logger()


class Strangers:
    """What this participant left out of what it read; a topic has so many log lines and no more."""

    def __init__(self, metrics: ParticipantMetrics) -> None:
        self._metrics = metrics
        self._lines = LineBudget()

    def refused(self, entry: Entry, error: PeerError) -> None:
        """Count one record, and say it while its topic has lines left."""
        self._metrics.refused.labels(error.code).inc()
        unsaid = self._lines.ask(entry.topic, time.monotonic())
        if unsaid is None:
            return
        log.warning(
            "record refused",
            topic=entry.topic,
            offset=entry.offset,
            code=error.code,
            reason=str(error),
            unsaid=unsaid,
        )
