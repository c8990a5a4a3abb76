"""Reads topics in order from remembered positions, for ever, over broken links and restarted brokers.

Knows:    the next offset of every topic; nothing is skipped silently and nothing is delivered twice by one reader.
Never:    uses groups or stored offsets; positions belong to the caller (receipts, site.db).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    OffsetOutOfRangeError,
)

from schemas.errors import LocalError
from transport import inside
from transport.errors import TopicMissing
from transport.ports import Opens, Reads
from transport.reading.batches import DAMAGED
from transport.reading.consumer import EARLIEST as EARLIEST
from transport.reading.consumer import LATEST as LATEST
from transport.reading.consumer import LiveConsumer, introduce, offsets_of
from transport.reading.damage import Damage
from transport.reading.entry import Entry as Entry
from transport.reading.held import Held
from transport.reading.watching import STALL_S, Watching
from transport.settings import KafkaSettings
from transport.staying.absent import forbidden
from transport.staying.link import Link

_POLL_MS = 60_000
_LOOK_S = 1.0  # how often a waiting reader looks whether the broker still answers


class LogReader:
    """One consumer for partition 0 of each assigned topic.

    Used by one task; `pause` and `resume` may be called from any task of the same loop.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        link: Link,
        *,
        committed: bool = True,
        fetch_wait_ms: int | None = None,
        thin: bool = False,
    ) -> None:
        """`thin`: of signs of life that say the same, the first and the last alone are delivered, see `thinned`."""
        wait_ms = fetch_wait_ms or settings.fetch_wait_ms
        self._link = link
        self._held = Held()
        self._watching = Watching(link, fetch_wait_ms=wait_ms)
        self._live = LiveConsumer(
            settings, link, self._held, self._watching, committed=committed, fetch_wait_ms=wait_ms, thin=thin
        )
        self._poll: asyncio.Task[Mapping[TopicPartition, Sequence[ConsumerRecord]]] | None = None
        self._wake = asyncio.Event()
        self._damage = Damage()

    @property
    def lost(self) -> Mapping[str, int]:
        """How many records of each topic were gone before they were read."""
        return self._live.lost

    async def assign(self, positions: Mapping[str, int]) -> None:
        """Read exactly these topics from now on, each from its offset, EARLIEST or LATEST. Waits for the broker.

        Raises TopicMissing naming those that do not exist or may not be read; it reads nothing then.
        """
        await self._forget_poll()
        self._held.begin(positions)
        self._wake.set()
        while True:
            try:
                await self._live.assign()
                return
            except (KafkaError, OSError) as error:
                await self._live.replace(error)
            except LocalError:
                self._held.begin({})
                raise

    async def batch(self, *, records_max: int = 256, wait_ms: int = 500) -> list[Entry]:
        """Up to `records_max` entries, in order within each topic; [] when nothing came within `wait_ms`."""
        until_s = time.monotonic() + wait_ms / 1000
        while True:
            entries = self._held.take(records_max)
            left_s = until_s - time.monotonic()
            if entries or left_s < 0:
                return entries
            self._wake.clear()
            await self._wait(records_max, min(left_s, _LOOK_S))

    def pause(self, *topics: str) -> None:
        """Deliver nothing of these topics until they are resumed; their positions stay."""
        self._held.paused.update(topics)

    def resume(self, *topics: str) -> None:
        """Deliver these topics again, beginning with what was fetched meanwhile."""
        self._held.paused.difference_update(topics)
        if self._live.now is not None:
            self._live.now.resume(*(self._live.now.assignment() & {TopicPartition(topic, 0) for topic in topics}))
        self._wake.set()

    def positions(self) -> dict[str, int]:
        """The next offset of each topic: one after the last entry delivered, or where reading begins."""
        return dict(self._held.positions)

    def gone(self) -> frozenset[str]:
        """Assigned topics that the broker told nothing of when it was last asked; Kafka reports a loss no other way.

        Only a suspicion, and free of cost: metadata that is not there yet looks the same. `missing` makes it certain.
        """
        consumer = self._live.now
        if consumer is None:
            return frozenset()
        return frozenset(topic for topic in self._held.positions if not consumer.partitions_for_topic(topic))

    async def missing(self, topics: Iterable[str]) -> frozenset[str] | None:
        """Those of `topics` that the broker has not; None when it does not answer now. Asks nothing about none."""
        consumer, topics = self._live.now, frozenset(topics)
        if consumer is None or not topics:
            return None if topics else topics
        try:
            async with asyncio.timeout(STALL_S):
                there: set[str] = await consumer.topics()
        except (KafkaError, OSError, TimeoutError, *DAMAGED):
            await self._forget_poll()
            await self._live.drop()  # the connection may be dead and fetches, over another one, know nothing of it
            return None
        return topics - there

    async def forbidden(self, topics: Iterable[str]) -> frozenset[str]:
        """Those of `topics` that this client may not see; none while there is no connection."""
        return frozenset() if self._live.now is None else await forbidden(inside.connections(self._live.now), topics)

    async def close(self) -> None:
        """End the consumer; bounded, and the reader is of no use afterwards."""
        await self._forget_poll()
        await self._live.drop()

    async def ends(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        """The offsets at which topics, or those assigned, end now (of what is committed, for a committed reader).

        Raises LocalError naming the topics that do not exist or may not be read.
        """
        while True:
            try:
                consumer = await self._live.live()
                names = self._held.positions.keys() if topics is None else set(topics)
                try:
                    async with asyncio.timeout(STALL_S):
                        await introduce(consumer, names)
                        ends = await offsets_of(consumer.end_offsets, [TopicPartition(name, 0) for name in names])
                except TimeoutError:
                    async with asyncio.timeout(STALL_S):
                        await self._live.check_topics(consumer, names)
                    raise
                return {tp.topic: offset for tp, offset in ends.items()}
            except (KafkaError, OSError, TimeoutError) as error:
                await self._live.replace(error)

    async def reached(self, ends: Mapping[str, int]) -> bool:
        """Whether everything before `ends` was delivered; control records take offsets but are never delivered."""
        if self._live.now is None or not self._held.is_empty:
            return False
        at = await self.fetched()
        return all(at.get(topic, -1) >= offset for topic, offset in ends.items())

    async def fetched(self) -> dict[str, int]:
        """How far each topic was fetched; further than it is delivered where nothing of what came is."""
        consumer = self._live.now
        if consumer is None:
            return {}
        return {tp.topic: await consumer.position(tp) for tp in consumer.assignment()}

    async def _wait(self, records_max: int, seconds: float) -> None:
        """Wait for records or a resumed topic. A poll under way is kept, so that no cancellation loses it."""
        if self._poll is None and self._held.positions:
            self._poll = asyncio.create_task(self._fetch(records_max))
        poll, woken = self._poll, asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({woken, *([poll] if poll else [])}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        if poll is not None and poll is self._poll and poll.done():
            self._poll = None
            self._keep(poll.result())
        if (consumer := self._live.now) is not None:
            await self._look_after(consumer)

    async def _look_after(self, consumer: AIOKafkaConsumer) -> None:
        """Replace a consumer that is answered no more, on one topic or on all."""
        if silent := self._watching.silent(consumer):
            await self._forget_poll()
            self._link.rebuilt("topic", silent)
            await self._live.drop()
        elif self._watching.stalled(consumer):
            await self._forget_poll()
            self._link.rebuilt("reader", f"no answer to a fetch for {self._watching.unheard_s:.0f} s")
            await self._live.replace(KafkaError("the consumer stalled"))

    async def _fetch(self, records_max: int) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """The next records, over as many consumers as that takes."""
        while True:
            try:
                consumer = await self._live.live()
                fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=records_max)
                return fetched
            except OffsetOutOfRangeError as error:
                await self._live.skip_lost(error)
            except (KafkaError, OSError, *DAMAGED) as error:
                self._live.thorough = isinstance(error, (CorruptRecordException, *DAMAGED))
                await self._live.replace(error)
                if self._live.thorough:
                    await asyncio.sleep(self._damage.met(str(error), time.monotonic()))

    def _keep(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        if fetched:
            self._watching.heard()
        for tp, records in fetched.items():
            if self._held.keep(tp.topic, records) and self._live.now is not None:
                self._live.now.pause(tp)

    async def _forget_poll(self) -> None:
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.cancel()
            await asyncio.wait({poll})
            if not poll.cancelled():
                poll.exception()


async def each_to_end(
    settings: KafkaSettings,
    link: Link,
    topics: Iterable[str],
    *,
    committed: bool = True,
    start: Mapping[str, int] | None = None,
    thin: bool = False,
    moved: Callable[[int, int], None] = lambda done, total: None,
) -> AsyncGenerator[Entry, None]:
    """Everything that is on the topics now, one by one, in order within each, from `start` or the beginning.

    thin    as for LogReader
    moved   called with (done, total), offsets of all topics together, whenever the reading got on
    Waits for the broker. To be closed (contextlib.aclosing). Raises TopicMissing naming those that do not exist, or
    went while they were read.
    """
    reader = LogReader(settings, link, committed=committed, fetch_wait_ms=10, thin=thin)
    async with aclosing(_drained(reader, topics, start or {}, settings.bootstrap, moved)) as entries:
        async for entry in entries:
            yield entry


async def to_end(
    connection: Opens,
    topics: Iterable[str],
    *,
    committed: bool = True,
    start: Mapping[str, int] | None = None,
) -> AsyncGenerator[Entry, None]:
    """As `each_to_end`, by a reader that `connection` makes."""
    reader = connection.reader(committed=committed, fetch_wait_ms=10)
    async with aclosing(_drained(reader, topics, start or {}, connection.bootstrap)) as entries:
        async for entry in entries:
            yield entry


async def _drained(
    reader: Reads,
    topics: Iterable[str],
    start: Mapping[str, int],
    bootstrap: str,
    moved: Callable[[int, int], None] = lambda done, total: None,
) -> AsyncGenerator[Entry, None]:
    try:
        await reader.assign(dict.fromkeys(topics, EARLIEST) | dict(start))
        ends, firsts, before = await reader.ends(), reader.positions(), -1
        total = sum(max(0, end - firsts[topic]) for topic, end in ends.items())
        while not await reader.reached(ends):
            for entry in await reader.batch(wait_ms=50):
                yield entry
            at = await reader.fetched()
            done = sum(max(0, min(at.get(topic, 0), end) - firsts[topic]) for topic, end in ends.items())
            if done != before:
                before = done
                moved(done, total)
            if missing := await reader.missing(reader.gone()):
                raise TopicMissing(missing, bootstrap)
    finally:
        await reader.close()


async def read_to_end(
    settings: KafkaSettings,
    link: Link,
    topics: Iterable[str],
    *,
    committed: bool = True,
    start: Mapping[str, int] | None = None,
) -> list[Entry]:
    """As `each_to_end`, all of it at once: for small topics alone."""
    async with aclosing(each_to_end(settings, link, topics, committed=committed, start=start)) as entries:
        return [entry async for entry in entries]
