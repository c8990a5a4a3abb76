"""The coordinator's transactions: all records or none, whoever is killed; a successor fences its predecessor.

Knows:    when a commit is certain, when it certainly did not happen, and how to find out when aiokafka cannot tell;
          whether somebody else has written since its reader looked, whenever the producer has to be made anew; how a
          transaction ended whose markers a dying broker has lost (transport.writing.labels).
Never:    lets a doubtful transaction pass as done, or uses a producer of aiokafka again after an error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from transport.clients import hear_drains, of_no_interest
from transport.errors import CommitUnknown, Fenced, LogReset, LogUndecided, TransactionAborted
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.labels import HEADER, Label, ours
from transport.writing.outcome import Records, outcome
from transport.writing.producer import BROKEN, LiveProducer, is_fenced
from transport.writing.settling import Settling
from transport.writing.visible import VisibleWatch, ends_of
from transport.writing.writer import check_topic

SHOW_S = 1.0  # how long what was committed may be on its way to readers before the next transaction helps it along
_AGAIN_S = 0.01

_log = structlog.get_logger("transport")


@dataclass(slots=True, eq=False)
class Transaction:
    """An open transaction; its records become visible together when the context ends without an error."""

    _writer: "TransactionalWriter"
    _producer: AIOKafkaProducer
    _label: Label
    sent: "list[tuple[str, bytes | None, asyncio.Future[RecordMetadata]]]" = field(default_factory=list)

    async def send(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        """Add one record; None as value deletes the key of a compacted topic.

        Raises what `TransactionalWriter.transaction` does, and LocalError when the topic is missing, access refused or
        the record too large. After any error the transaction is taken back.
        """
        try:
            await self._writer.check(self._producer, topic)
            headers = [(HEADER, self._label.to_bytes())]
            acknowledged = await self._producer.send(topic, value, key, partition=0, headers=headers)
            hear_drains(self._producer, topic)
            acknowledged.add_done_callback(of_no_interest)
            self.sent.append((topic, value, acknowledged))
        except BROKEN as error:
            raise self._writer.failure(error, self._producer, topic) from error

    async def acknowledged(self) -> list[int]:
        """The offsets of all records: with all of them known, only the commit itself can stay in doubt."""
        assert len(self.sent) == self._label.count
        offsets: list[int] = []
        for topic, _, future in self.sent:
            try:
                offsets.append(int((await future).offset))
            except BROKEN as error:
                raise self._writer.failure(error, self._producer, topic) from error
        return offsets


class TransactionalWriter:
    """One producer with a fixed transactional id; one transaction at a time."""

    def __init__(self, settings: KafkaSettings, link: Link, transactional_id: str) -> None:
        self._settings = settings
        self._link = link
        self._id = transactional_id
        self._live = LiveProducer(settings, link, transactional_id)
        self._settling = Settling(settings, link, transactional_id, self._live)
        self._ends: dict[str, int] = {}  # topic -> the offset before which all is known to whoever uses this writer
        self._started = False
        self._one_at_a_time = asyncio.Lock()
        self._visible = VisibleWatch(settings, link, self._release)

    async def start(self) -> None:
        """Fence whoever used this id before and end what it left open; waits for the broker for ever."""
        async with self._one_at_a_time:
            await self._live_producer()

    def watch(self, ends: Mapping[str, int]) -> None:
        """Everything before these offsets was read since `start`, and decisions build on it.

        A producer that has to be made anew fences whoever took over in the meantime. Had that one written, decisions
        here would be old: the topics are looked at first, and Fenced is raised instead of a record that contradicts.
        """
        self._ends.update(ends)

    def forget(self, topics: Iterable[str]) -> None:
        """Nobody decides on these topics any more."""
        for topic in topics:
            self._ends.pop(topic, None)
            self._settling.aside.pop(topic, None)
            self._settling.topics.discard(topic)
            self._visible.forget(topic)

    async def settle(self, topics: Iterable[str]) -> None:
        """End what a predecessor has left hidden on the topics, as its own records say it has to end.

        Raises LogUndecided when they do not say it, TopicMissing, and what `write` does.
        """
        names = set(topics)
        await ends_of(self._settings, self._link, names, committed=True)  # one that is missing holds up nobody else
        while True:
            try:
                async with self._one_at_a_time:
                    producer = await self._live_producer()
                    async with self._live.guarded(producer):
                        await self._settling.settle(producer, names)
                        self._ends |= await ends_of(self._settings, self._link, names, committed=True)
                for name in names:
                    self._settling.aside.pop(name, None)
                return
            except TransactionAborted as error:
                self._link.down(error)
                await self._link.backoff()

    async def keep_visible(self) -> None:
        """See to it, for ever, that readers get what was committed here. Raises Fenced as `write` does."""
        await self._visible.run()

    async def seen(self, topics: Iterable[str]) -> bool:
        """Whether readers get everything that was committed here on these topics: it cannot be taken back any more."""
        return await self._visible.seen(topics)

    async def write(self, records: Iterable[tuple[str, bytes | None, bytes | None]]) -> None:
        """Commit (topic, value, key) records in one transaction, tried again until it is certain.

        Raises Fenced and CommitUnknown, after which this writer is of no use, and what `Transaction.send` raises.
        """
        records = list(records)
        while True:
            try:
                async with self.transaction(len(records)) as transaction:
                    for topic, value, key in records:
                        await transaction.send(topic, value, key)
            except TransactionAborted as error:
                self._link.down(error)
                await self._link.backoff()
            else:
                return

    @asynccontextmanager
    async def transaction(self, count: int) -> AsyncIterator[Transaction]:
        """One transaction of `count` records, committed when the block ends well; an error in it takes all back.

        Raises TransactionAborted when it certainly was not committed and may be tried again, Fenced when another
        process has taken over, LogReset when a topic was made anew, CommitUnknown when nobody can tell; after these
        three what was decided has to be rebuilt from the log, with a writer of its own.
        """
        async with self._one_at_a_time:
            producer = await self._live_producer()
            async with self._live.guarded(producer):
                await self._show_last(producer)
                await producer.begin_transaction()
            transaction = Transaction(self, producer, Label.fresh(count))
            try:
                yield transaction
                offsets = await transaction.acknowledged()
                self._refuse_reset(transaction, offsets)
            except BaseException:
                await self._live.abort(producer)
                raise
            await self._commit(producer, transaction, offsets)
            self._written(transaction, offsets)
            self._link.up()

    async def close(self) -> None:
        """End the producer; bounded. A transaction still open is ended by the next start of this id."""
        await asyncio.gather(self._live.drop(), self._visible.close())

    def failure(self, error: BaseException, producer: AIOKafkaProducer, topic: str = "") -> Exception:
        """What an error before the commit means: nothing was committed, whatever else."""
        return self._live.failure(error, producer, topic)

    async def check(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Raise LocalError when the producer knows no such topic and there is none, or when nobody can settle it."""
        trouble = self._settling.aside.get(topic)
        if isinstance(trouble, LogUndecided):
            raise trouble
        if not producer.client.cluster.partitions_for_topic(topic):
            await check_topic(producer.client, topic, self._settings.bootstrap)
        self._settling.topics.add(topic)

    async def _live_producer(self) -> AIOKafkaProducer:
        """The producer; a fresh one fences others first, and is used only where nobody else has written."""
        if self._live.now is None:
            producer = await self._live.new()
            if self._started:
                await self._refuse_others(producer)
            self._started = True
            return producer
        return self._live.now

    async def _refuse_others(self, producer: AIOKafkaProducer) -> None:
        """What was not looked through is never used."""
        async with self._live.guarded(producer):
            names = await self._settling.settle_most(producer, self._settling.topics | self._ends.keys())
            start = {topic: end for topic, end in self._ends.items() if topic in names}
            entries = ours(await read_to_end(self._settings, self._link, list(start), start=start))
            if entries:
                raise Fenced(f"another process has written under {self._id}, on {entries[0].topic}")

    def _refuse_reset(self, transaction: Transaction, offsets: list[int]) -> None:
        """Before the commit: a record that would lie where another one was read before must not appear there."""
        for (topic, _, _), offset in zip(transaction.sent, offsets, strict=True):
            if 0 <= offset < self._ends.get(topic, 0):
                raise LogReset(f"{topic} ends at {offset}, it was read up to {self._ends[topic]}: it was made anew")

    def _written(self, transaction: Transaction, offsets: list[int]) -> None:
        for (topic, _, _), offset in zip(transaction.sent, offsets, strict=True):
            self._visible.committed(topic, offset)
            if topic in self._ends:
                self._ends[topic] = offset + 1

    async def _release(self, topics: list[str]) -> None:
        """End what is hidden although it was committed for certain. Raises Fenced and CommitUnknown as `write` does."""
        async with self._one_at_a_time:
            with suppress(TransactionAborted):  # it is looked at again
                producer = await self._live_producer()
                hidden = await self._visible.hidden()
                if still := [topic for topic in topics if topic in hidden]:
                    await self._settling.end_hidden(producer, still, commit=True)

    async def _show_last(self, producer: AIOKafkaProducer) -> None:
        """See that the last transaction is visible before the next begins, which would take it back with itself."""
        until_s = time.monotonic() + SHOW_S
        while hidden := await self._visible.hidden():
            if time.monotonic() > until_s:
                await self._settling.end_hidden(producer, sorted(hidden), commit=True)
                until_s = time.monotonic() + SHOW_S
            await asyncio.sleep(_AGAIN_S)

    async def _commit(self, producer: AIOKafkaProducer, transaction: Transaction, offsets: list[int]) -> None:
        try:
            await self._live.commit(producer)
        except (*BROKEN, TimeoutError) as error:
            await self._live.drop()
            if is_fenced(error, producer):
                raise self._live.failure(error, producer) from error
            _log.warning("outcome of a commit unknown, asking the log", transactional_id=self._id, reason=repr(error))
            if not await self._was_committed(transaction, offsets):
                raise self._live.failure(error, producer) from error
        except BaseException:
            await self._live.drop()  # cancelled in the middle: whoever starts next finds out from the log
            raise

    async def _was_committed(self, transaction: Transaction, offsets: list[int]) -> bool:
        """Ask the log. Our next start ends whatever is open under this id, so what is visible afterwards is final."""
        if min(offsets, default=0) < 0:
            raise CommitUnknown(f"a record of {self._id} was stored, but the broker forgot where")
        producer = await self._live.new()
        expected: Records = {}
        for (topic, value, _), offset in zip(transaction.sent, offsets, strict=True):
            expected.setdefault(topic, []).append((offset, value))
        start = {topic: sent[0][0] for topic, sent in expected.items()} | self._ends
        try:
            names = await self._settling.settle_most(producer, start.keys())
            if not expected.keys() <= names:
                raise CommitUnknown(f"a transaction of {self._id} cannot be looked for on all its topics")
            entries = await read_to_end(self._settings, self._link, sorted(names), start={n: start[n] for n in names})
            return outcome(expected, entries, self._id)
        except (*BROKEN, TimeoutError) as error:
            await self._live.drop()
            raise CommitUnknown(f"a transaction of {self._id} is hidden, and could not be ended") from error
        except BaseException:
            await self._live.drop()
            raise
