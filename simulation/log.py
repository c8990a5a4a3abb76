"""The log: Kafka's promises and no others.

Knows:    order within a topic and none between topics; a record of an open transaction holds back what lies behind it;
          a producer of a transactional id fences the one before; markers take offsets; retention forgets the oldest.
Never:    promises that a record is written once: a sender that did not hear the answer may write it again.
Source:   docs/decisions/0004; what Kafka does with transactions is told in KIP-98.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from protocol.rounds import RoundsRecord
from schemas.records import Receipt
from simulation.clock import ProcessEnded
from simulation.records import Body, Chosen, Model, OfferTopicRecord

TRANSACTION_TIMEOUT_MS = 15_000

T = TypeVar("T")


class Fate(Enum):
    """What became of a transaction."""

    OPEN = "nobody sees it yet"
    COMMITTED = "it happened"
    ABORTED = "it never happened"


@dataclass(slots=True)
class Entry(Generic[T]):
    """One record; `value` None is a marker of the broker's own."""

    offset: int
    key: str | None
    value: T | None
    transaction: "Transaction | None"


class Topic(Generic[T]):
    """One partition. Offsets below `start` are gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = 0
        self._entries: list[Entry[T]] = []  # _entries[0] has offset `start`
        self._newest: dict[str, Entry[T]] = {}

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return self.start + len(self._entries)

    def append(self, value: T | None, key: str | None = None, transaction: "Transaction | None" = None) -> int:
        entry = Entry(self.end, key, value, transaction)
        self._entries.append(entry)
        if transaction is None and key is not None:
            self._newest[key] = entry
        return entry.offset

    def read(self, position: int, most: int = 1 << 30) -> tuple[list[Entry[T]], int]:
        """At most `most` records from `position` on that are visible now, and the position after them."""
        found: list[Entry[T]] = []
        at = max(position, self.start)
        for entry in self._entries[at - self.start :]:
            fate = entry.transaction.fate if entry.transaction else Fate.COMMITTED
            if fate is Fate.OPEN or len(found) == most:
                break
            at = entry.offset + 1
            if fate is Fate.COMMITTED and entry.value is not None:
                found.append(entry)
        return found, at

    def get(self, offset: int) -> T | None:
        """The record at `offset`; None when it is gone, or not there yet."""
        index = offset - self.start
        return self._entries[index].value if 0 <= index < len(self._entries) else None

    def newest(self, key: str) -> Entry[T] | None:
        """The newest committed record of a key: what compaction always keeps."""
        return self._newest.get(key)

    def by_key(self) -> dict[str, T]:
        return {key: entry.value for key, entry in self._newest.items() if entry.value is not None}

    def trim(self, offset: int) -> None:
        """Forget what lies before `offset`."""
        gone = min(offset, self.end) - self.start
        if gone > 0:
            del self._entries[:gone]
            self.start += gone

    def committed(self, offset: int) -> None:
        """The transaction of this record is committed."""
        entry = self._entries[offset - self.start]
        if entry.key is not None:
            self._newest[entry.key] = entry


class Transaction:
    """What one producer wrote since `begin`."""

    def __init__(self, began_ms: int) -> None:
        self.began_ms = began_ms
        self.fate = Fate.OPEN
        self.written: list[tuple[Topic[Any], int]] = []

    def end(self, fate: Fate) -> None:
        self.fate = fate
        for topic, offset in self.written:
            if fate is Fate.COMMITTED:
                topic.committed(offset)
        for topic in dict.fromkeys(topic for topic, _ in self.written):
            topic.append(None)


class Producer:
    """A transactional producer; there is one of a log that is not fenced."""

    def __init__(self, log: "Log", epoch: int) -> None:
        self._log, self._epoch = log, epoch
        self.open: Transaction | None = None

    def begin(self, now_ms: int) -> None:
        self._check(now_ms)
        self._log.open = self.open = Transaction(now_ms)

    def send(self, topic: Topic[Any], value: object, key: str | None, now_ms: int) -> None:
        """Write one record of the open transaction. Raises ProcessEnded when another producer has taken over."""
        self._check(now_ms)
        assert self.open is not None
        self.open.written.append((topic, topic.append(value, key, self.open)))

    def commit(self, now_ms: int) -> None:
        """Raises ProcessEnded when another producer has taken over, or the transaction took too long."""
        self._check(now_ms)
        assert self.open is not None
        self.open.end(Fate.COMMITTED)
        self._log.open = self.open = None

    def abort(self) -> None:
        """The broker took the transaction back; the producer may begin another one."""
        assert self.open is not None
        self.open.end(Fate.ABORTED)
        self._log.open = self.open = None

    def _check(self, now_ms: int) -> None:
        self._log.expire(now_ms)
        if self._log.epoch != self._epoch:
            raise ProcessEnded("fenced")


class Log:
    """All topics of one study."""

    def __init__(self, sites: list[str]) -> None:
        self.rounds: Topic[Chosen | RoundsRecord] = Topic("rounds")
        self.receipts: Topic[Receipt] = Topic("receipts")
        self.models: Topic[Model] = Topic("models")
        self.offers: dict[str, Topic[OfferTopicRecord]] = {site: Topic(f"offers.{site}") for site in sites}
        self.bodies: dict[str, Topic[Body]] = {site: Topic(f"bodies.{site}") for site in sites}
        self.epoch = 0
        self.open: Transaction | None = None

    def fence(self) -> Producer:
        """A new producer of the one transactional id: what the one before left open never happened."""
        self.epoch += 1
        if self.open is not None:
            self.open.end(Fate.ABORTED)
            self.open = None
        return Producer(self, self.epoch)

    def expire(self, now_ms: int) -> None:
        """The broker ends a transaction that takes too long, and with it the producer."""
        if self.open is not None and now_ms - self.open.began_ms > TRANSACTION_TIMEOUT_MS:
            self.fence()
