"""Records on topics of one writer that he did not write: counted, and said with few lines."""

import asyncio

import structlog

from coordinator.shell.metrics import CoordinatorMetrics
from protocol.written import ForeignError
from runtime.lines import LineBudget
from schemas.errors import PeerError
from transport.reading.log import Entry

log = structlog.get_logger()


class Strangers:
    """What was passed over, for the whole process; a topic has so many log lines and no more."""

    def __init__(self, metrics: CoordinatorMetrics) -> None:
        self._metrics = metrics
        self._lines = LineBudget()

    def passed_over(self, study: str, entry: Entry, error: ForeignError) -> None:
        """One record that no coordinator wrote."""
        self._metrics.foreign.labels(study, _short(entry.topic)).inc()
        self.say("record passed over, no coordinator wrote it", entry, str(error))

    def refused(self, entry: Entry, error: PeerError, study: str = "") -> None:
        """One record of another writer's topic that is not his; `study` is empty for the registrar's."""
        self._metrics.foreign.labels(study, _short(entry.topic)).inc()
        self.say("record refused", entry, str(error))

    def say(self, what: str, entry: Entry, reason: str, **more: str) -> None:
        """A line about a record, while its topic has lines left."""
        unsaid = self._lines.ask(entry.topic, asyncio.get_running_loop().time())
        if unsaid is not None:
            log.warning(what, topic=entry.topic, offset=entry.offset, reason=reason, unsaid=unsaid, **more)


def _short(topic: str) -> str:
    return topic.rpartition(".")[2]
