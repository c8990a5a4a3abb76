"""The log: Kafka's promises and no others.

Knows:    order within a topic and none between topics; a record of an open transaction holds back what lies behind it;
          a producer of a transactional id fences the one before; markers take offsets; retention forgets the oldest; a
          broker that dies may forget the markers of some topics, until those of the next transaction stand there.
Never:    promises that a record is written once: a sender that did not hear the answer may write it again.
Source:   docs/decisions/0004; what Kafka does with transactions is told in KIP-98.
"""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from coordinator.core.bookmark import Marked
from protocol.rounds import RoundsRecord
from schemas.records import BodyAt, Receipt
from simulation.clock import ProcessEnded
from simulation.records import Body, Chosen, Given, Model, OfferTopicRecord, SentOffer, State, Strange

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
        self.renewed = 0  # so often was it deleted and made anew
        self.hidden: list[Transaction] = []  # ended, and their markers forgotten here
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
            fate = entry.transaction.fates[self.name] if entry.transaction else Fate.COMMITTED
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

    def readable(self) -> Iterator[Entry[T]]:
        """What is visible now, the newest first."""
        return reversed(self.read(self.start)[0])

    def trim(self, offset: int) -> None:
        """Forget what lies before `offset`."""
        gone = min(offset, self.end) - self.start
        if gone > 0:
            del self._entries[:gone]
            self.start += gone

    def renew(self) -> None:
        """Somebody deletes the topic and makes it anew: it is empty, and offsets begin again."""
        self._entries.clear()
        self._newest.clear()
        self.start, self.renewed = 0, self.renewed + 1

    def mark(self, transaction: "Transaction", fate: Fate) -> None:
        """A transaction has ended here, and with it those whose markers were forgotten: to Kafka they are one."""
        ended = [*self.hidden, transaction]
        self.hidden.clear()
        for one in ended:
            one.fates[self.name] = fate
            if fate is Fate.COMMITTED:
                self._committed(one)
        self.append(None)
        if fate is Fate.COMMITTED:
            for one in ended:
                one.happened()

    def _committed(self, transaction: "Transaction") -> None:
        for topic, offset in transaction.written:
            if topic is self:
                entry = self._entries[offset - self.start]
                if entry.key is not None:
                    self._newest[entry.key] = entry


class Transaction:
    """What one producer wrote since `begin`: `count` records when it is whole; `tell` is called once it is readable.

    ends   topics that it has markers for beside those it wrote to: what is hidden there ends with it
    """

    def __init__(self, began_ms: int, count: int, tell: Callable[[], None], *, ends: Sequence[Topic[Any]] = ()) -> None:
        self.began_ms, self._count, self._tell, self._ends = began_ms, count, tell, ends
        self.fates: dict[str, Fate] = {}
        self.written: list[tuple[Topic[Any], int]] = []
        self._told = False

    @property
    def whole(self) -> bool:
        """Whether all its records are there, and none was taken back."""
        return sum(self.fates[topic.name] is not Fate.ABORTED for topic, _ in self.written) == self._count

    def end(self, fate: Fate, forgotten: Container[str] = ()) -> None:
        """Markers on every topic but those `forgotten`."""
        mine = dict.fromkeys(topic for topic, _ in self.written)
        for topic in {**mine, **dict.fromkeys(self._ends)}:
            if topic.name not in forgotten:
                topic.mark(self, fate)
            elif topic in mine:
                topic.hidden.append(self)

    def happened(self) -> None:
        """Somebody can read it, on one topic at least."""
        if not self._told:
            self._told = True
            self._tell()


class Producer:
    """A transactional producer; there is one of a log that is not fenced."""

    def __init__(self, log: "Log", epoch: int) -> None:
        self._log, self._epoch = log, epoch
        self.open: Transaction | None = None

    def begin(self, now_ms: int, count: int, tell: Callable[[], None] = lambda: None) -> None:
        self._check(now_ms)
        self._log.open = self.open = Transaction(now_ms, count, tell)

    def send(self, topic: Topic[Any], value: object, key: str | None, now_ms: int) -> None:
        """Write one record of the open transaction. Raises ProcessEnded when another producer has taken over."""
        self._check(now_ms)
        assert self.open is not None
        self.open.fates.setdefault(topic.name, Fate.OPEN)
        self.open.written.append((topic, topic.append(value, key, self.open)))

    def commit(self, now_ms: int) -> None:
        """Raises ProcessEnded when another producer has taken over, or the transaction took too long."""
        self._check(now_ms)
        assert self.open is not None
        self._log.end(self.open, Fate.COMMITTED)
        self.open = None

    def abort(self) -> None:
        """The broker took the transaction back."""
        assert self.open is not None
        self._log.end(self.open, Fate.ABORTED)
        self.open = None

    def begin_ending(self, now_ms: int) -> None:
        """A transaction without a record: its markers end those whose own were forgotten, as it ends itself."""
        self._check(now_ms)
        ends = [topic for topic in self._log.decided if topic.hidden]
        self._log.open = self.open = Transaction(now_ms, 0, lambda: None, ends=ends)

    def _check(self, now_ms: int) -> None:
        self._log.expire(now_ms)
        if self._log.epoch != self._epoch:
            raise ProcessEnded("fenced")


class Log:
    """All topics of one study. `forgets`: topics whose markers the broker forgets at the next end of a transaction."""

    def __init__(self, sites: list[str]) -> None:
        self.rounds: Topic[Chosen | RoundsRecord | Strange] = Topic("rounds")
        self.receipts: Topic[Receipt | Strange] = Topic("receipts")
        self.models: Topic[Model | State] = Topic("models")
        self.keys: Topic[Given] = Topic("keys")
        self.bookmark: Topic[Marked | Strange] = Topic("bookmark")
        self.offers: dict[str, Topic[OfferTopicRecord]] = {site: Topic(f"offers.{site}") for site in sites}
        self.bodies: dict[str, Topic[Body]] = {site: Topic(f"bodies.{site}") for site in sites}
        self.cohorts: dict[bytes, tuple[SentOffer, ...]] = {}  # by the digest under which a Request names its body
        self.epoch = 0
        self.open: Transaction | None = None
        self.forgets: Container[str] = ()

    def put_cohort(self, offers: tuple[SentOffer, ...]) -> bytes:
        """The body of a cohort, its offers as they were signed; returns its digest."""
        digest = hashlib.sha256(b"".join(offer.fact.header for offer in offers)).digest()
        self.cohorts[digest] = offers
        return digest

    def model(self, body: BodyAt) -> Model | None:
        """The model that lies there; None when it has gone."""
        found = self.models.get(body.body.runs[0][0])
        return found if isinstance(found, Model) and found.digest == body.digest else None

    def state(self, body: BodyAt) -> State | None:
        """The optimiser's state that lies there; None when it has gone."""
        found = self.models.get(body.body.runs[0][0])
        return found if isinstance(found, State) else None

    @property
    def decided(self) -> tuple[Topic[Any], ...]:
        """The topics that coordinators write in transactions."""
        return self.rounds, self.receipts

    @property
    def hidden(self) -> list[Transaction]:
        """What has ended and cannot be read."""
        return [transaction for topic in self.decided for transaction in topic.hidden]

    def end(self, transaction: Transaction, fate: Fate) -> None:
        """The open transaction ends."""
        transaction.end(fate, self.forgets)
        self.open, self.forgets = None, ()

    def fence(self) -> Producer:
        """A new producer of the one transactional id: what the one before left open never happened."""
        self.epoch += 1
        if self.open is not None:
            self.end(self.open, Fate.ABORTED)
        return Producer(self, self.epoch)

    def expire(self, now_ms: int) -> None:
        """The broker ends a transaction that takes too long, and with it the producer."""
        if self.open is not None and now_ms - self.open.began_ms > TRANSACTION_TIMEOUT_MS:
            self.fence()
