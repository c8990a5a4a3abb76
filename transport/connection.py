"""A process' way to its broker: makes readers and transactional writers, all with the same settings and link."""

from dataclasses import dataclass

from transport.reading.log import LogReader
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.transactions import TransactionalWriter


@dataclass(frozen=True, slots=True)
class Connection:
    """Opens nothing by itself; what it makes is its user's to close."""

    settings: KafkaSettings
    link: Link

    @property
    def bootstrap(self) -> str:
        return self.settings.bootstrap

    def reader(self, *, committed: bool = True, fetch_wait_ms: int | None = None) -> LogReader:
        return LogReader(self.settings, self.link, committed=committed, fetch_wait_ms=fetch_wait_ms)

    def transactions(self, transactional_id: str) -> TransactionalWriter:
        return TransactionalWriter(self.settings, self.link, transactional_id)
