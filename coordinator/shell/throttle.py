"""Reads the topic of a site that sends more than its share more slowly, and the others as ever.

Knows:    two reasons why a topic is not read: the core holds it, or its allowance is spent; either is enough.
"""

from collections.abc import Iterable

import structlog

from coordinator.core.allowance import Allowance
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import now_ms
from runtime.lines import LineBudget
from schemas import topics
from transport.ports import Reads
from transport.reading.entry import Entry

log = structlog.get_logger()


class Throttle:
    """The topics of one study's reader; those of the sites, and `commands`."""

    def __init__(self, reader: Reads, metrics: CoordinatorMetrics, study: str) -> None:
        self._reader, self._metrics, self._study = reader, metrics, study
        self._allowance = Allowance()
        self._lines = LineBudget()
        self._held: set[str] = set()
        self._waiting: dict[str, int] = {}  # topic -> until when it is not read

    def hold(self, topic: str) -> None:
        """The core takes nothing more of it for now."""
        self._held.add(topic)
        self._reader.pause(topic)

    def release(self, topic: str) -> None:
        """The core takes more of it."""
        self._held.discard(topic)
        if topic not in self._waiting:
            self._reader.resume(topic)

    def read(self, entries: Iterable[Entry], looked_at: Iterable[Entry]) -> None:
        """A batch was read, of which some entries are looked at: who has no allowance left waits."""
        now, dear = now_ms(), {id(entry) for entry in looked_at}
        spent = set()
        for entry in entries:
            size_bytes = len(entry.value or b"") + len(entry.key or b"")
            self._allowance.spend(entry.topic, size_bytes, now, skipped=id(entry) not in dear)
            spent.add(entry.topic)
        for topic in spent:
            wait_ms = self._allowance.wait_ms(topic, now)
            if wait_ms:
                self._wait(topic, now + wait_ms)

    def soonest_ms(self, most_ms: int) -> int:
        """How long to wait for records at most, by when who waits is read again; those whose time came are."""
        now = now_ms()
        for topic in [topic for topic, until_ms in self._waiting.items() if until_ms <= now]:
            del self._waiting[topic]
            self._metrics.site_waits.labels(self._study, self._name(topic)).set(0)
            if topic not in self._held:
                self._reader.resume(topic)
        return min([most_ms, *(until_ms - now for until_ms in self._waiting.values())])

    def _wait(self, topic: str, until_ms: int) -> None:
        name = self._name(topic)
        self._waiting[topic] = until_ms
        self._reader.pause(topic)
        self._metrics.site_waits.labels(self._study, name).set(1)
        self._metrics.site_slowed.labels(self._study, name).inc()
        unsaid = self._lines.ask(name, now_ms() / 1000)
        if unsaid is not None:
            log.warning(
                "sends more than its share, it is read more slowly; the others are not touched",
                study=self._study,
                site=name,
                topic=topic,
                unsaid=unsaid,
                to_do="ask the site; `operator exclude` keeps its updates out, `registrar revoke` its keys",
            )

    def _name(self, topic: str) -> str:
        return "" if topic == topics.commands(self._study) else site_of(topic)


def site_of(topic: str) -> str:
    """Whose offers topic it is."""
    return topic.removeprefix(topics.offers(""))
