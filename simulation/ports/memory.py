"""A log in memory that keeps Kafka's promises and no others: order within a topic, transactions, a fence for each id.

Knows:    committed readers stop before the first record whose transaction is open; taken-back records are never read;
          a topic that is compacted keeps the newest record of each key.
Never:    waits, fails or loses by itself: who reaches the log, and how, is simulation.ports.connection's matter.
Source:   KIP-98; what was learnt of brokers stands in docs/decisions/0025 and 0026.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from schemas import topics
from transport.errors import Fenced
from transport.reading.entry import Entry


class Fate(Enum):
    """What became of a record's transaction; a record without one is COMMITTED when it is written."""

    OPEN = auto()
    COMMITTED = auto()
    TAKEN_BACK = auto()


@dataclass(slots=True, eq=False)
class Transaction:
    """The records that one producer has written and not decided, or has decided."""

    fate: Fate = Fate.OPEN


COMMITTED = Transaction(Fate.COMMITTED)


@dataclass(frozen=True, slots=True)
class Lying:
    """A record as it lies there."""

    entry: Entry
    transaction: Transaction


@dataclass(slots=True)
class Topic:
    """Partition 0 of a topic. `first` is the offset before which all was trimmed."""

    settings: Mapping[str, str]
    records: list[Lying | None] = field(default_factory=list)  # by offset; None: trimmed, compacted, or a marker
    first: int = 0
    decided: int = 0  # every record before it has its fate

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def stable_end(self) -> int:
        """Where committed readers stop."""
        while self.decided < self.end:
            lying = self.records[self.decided]
            if lying is not None and lying.transaction.fate is Fate.OPEN:
                break
            self.decided += 1
        return self.decided

    def read(self, offset: int, most: int, *, committed: bool) -> tuple[list[Entry], int]:
        """Up to `most` entries from `offset` on, and the offset behind them."""
        end = self.stable_end if committed else self.end
        found: list[Entry] = []
        while offset < end and len(found) < most:
            lying = self.records[offset]
            if lying is not None and not (committed and lying.transaction.fate is Fate.TAKEN_BACK):
                found.append(lying.entry)
            offset += 1
        return found, offset

    def compact(self, key: bytes | None) -> None:
        """Forget what a newer committed record of the same key replaces, but not the newest."""
        if self.settings.get("cleanup.policy") != "compact":
            return
        same = [
            offset
            for offset, lying in enumerate(self.records)
            if lying is not None and lying.entry.key == key and lying.transaction.fate is Fate.COMMITTED
        ]
        for offset in same[:-1]:
            self.records[offset] = None


class MemoryLog:
    """Every topic of one federation. `now_ms` stamps what is appended."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.topics: dict[str, Topic] = {}
        self._producers: dict[str, int] = {}  # transactional id -> epoch
        self._open: dict[str, Transaction] = {}
        self._touched: dict[Transaction, dict[str, set[bytes | None]]] = {}

    def create(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Make topics that are not there."""
        for name, own in settings.items():
            self.topics.setdefault(name, Topic(own))

    def append(
        self, topic: str, value: bytes | None, key: bytes | None = None, *, within: Transaction = COMMITTED
    ) -> int:
        """Put one record down. Returns its offset."""
        there = self.topics[topic]
        entry = Entry(topic, there.end, self._now_ms(), key, value)
        there.records.append(Lying(entry, within))
        if within is COMMITTED:
            there.compact(key)
        else:
            self._touched.setdefault(within, {}).setdefault(topic, set()).add(key)
        return entry.offset

    def begin(self, transactional_id: str) -> int:
        """Fence whoever used this id; what it left open is taken back. Returns the epoch that may write now."""
        self._decide(transactional_id, Fate.TAKEN_BACK)
        self._producers[transactional_id] = self._producers.get(transactional_id, -1) + 1
        return self._producers[transactional_id]

    def open(self, transactional_id: str, epoch: int) -> Transaction:
        """Begin a transaction. Raises Fenced when another has begun under this id."""
        self.check(transactional_id, epoch)
        return self._open.setdefault(transactional_id, Transaction())

    def commit(self, transactional_id: str, epoch: int) -> None:
        """All records of the open transaction become visible together. Raises Fenced."""
        self.check(transactional_id, epoch)
        self._decide(transactional_id, Fate.COMMITTED)

    def check(self, transactional_id: str, epoch: int) -> None:
        if self._producers.get(transactional_id) != epoch:
            raise Fenced(f"another process uses {transactional_id}")

    def trim(self, topic: str, before: int) -> None:
        there = self.topics[topic]
        there.first = max(there.first, min(before, there.end))
        there.records[: there.first] = [None] * there.first

    def committed(self, names: Iterable[str]) -> list[Entry]:
        """What a committed reader would find on these topics now, topic by topic."""
        return [
            entry
            for name in names
            for entry in self.topics[name].read(self.topics[name].first, self.topics[name].end, committed=True)[0]
        ]

    def _decide(self, transactional_id: str, fate: Fate) -> None:
        transaction = self._open.pop(transactional_id, None)
        if transaction is None:
            return
        transaction.fate = fate
        for name, keys in self._touched.pop(transaction, {}).items():
            self.topics[name].records.append(None)  # the marker takes an offset
            for key in keys:
                self.topics[name].compact(key)


def federation_settings(study: str, sites: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """The topics of a federation with one study."""
    found = {**topics.federation_topics(), **topics.study_topics(study)}
    for site in sites:
        found |= topics.site_topics(site, size_cap_bytes=2**30)
    return found
