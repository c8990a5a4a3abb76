"""Reads topics in order from remembered positions, for ever, over broken links and restarted brokers.

Knows:    the next offset of every topic; nothing is skipped silently and nothing is delivered twice by one reader.
Never:    uses groups or stored offsets; positions belong to the caller (receipts, site.db).
Used by:  every shell, wardround.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import aclosing

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    KafkaProtocolError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from schemas.errors import LocalError
from transport.clients import end, new_consumer, refused, started
from transport.errors import TopicMissing
from transport.ports import Opens, Reads
from transport.reading.batches import DAMAGED
from transport.reading.damage import Damage
from transport.reading.entry import Entry as Entry
from transport.reading.entry import entry_of
from transport.reading.silence import Silence
from transport.settings import KafkaSettings
from transport.staying.absent import absent, forbidden
from transport.staying.link import Link

EARLIEST = -2
LATEST = -1

_HELD_MAX = 16  # entries of a paused topic kept here, so that resuming it costs no round trip
_POLL_MS = 60_000
_LOOK_S = 1.0  # how often a waiting reader looks whether the broker still answers
_SILENT_S = 2.0  # beyond the broker's own wait
_AHEAD_S = 3600.0  # nothing is asked for while records wait: a reader of any number of topics holds one answer
_STALL_S = 30.0  # a consumer that heard nothing for so long is replaced; doubles while that does not help

_log = structlog.get_logger("transport")


class LogReader:
    """One consumer for partition 0 of each assigned topic. `lost` counts records that were gone before they were read.

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
        self.lost: dict[str, int] = {}
        self._settings = settings
        self._link = link
        self._committed = committed
        self._fetch_wait_ms = fetch_wait_ms or settings.fetch_wait_ms
        self._thin = thin
        self._since_ms: dict[tuple[str, int], int] = {}  # of the last of a run: when its first one came
        self._positions: dict[str, int] = {}  # next to be delivered
        self._fetched: dict[str, deque[Entry]] = {}
        self._paused: set[str] = set()
        self._consumer: AIOKafkaConsumer | None = None
        self._poll: asyncio.Task[Mapping[TopicPartition, Sequence[ConsumerRecord]]] | None = None
        self._wake = asyncio.Event()
        self._stamp: int | None = None
        self._silence = Silence()
        self._heard_s = 0.0
        self._thorough = False
        self._damage = Damage()

    async def assign(self, positions: Mapping[str, int]) -> None:
        """Read exactly these topics from now on, each from its offset, EARLIEST or LATEST. Waits for the broker.

        Raises TopicMissing naming those that do not exist or may not be read; it reads nothing then.
        """
        await self._forget_poll()
        self._positions = dict(positions)
        self._fetched = {topic: deque() for topic in positions}
        self._paused.intersection_update(positions)
        self._wake.set()
        while True:
            try:
                await self._assign()
                return
            except (KafkaError, OSError) as error:
                await self._replace(error)
            except LocalError:
                self._positions = {}
                raise

    async def batch(self, *, records_max: int = 256, wait_ms: int = 500) -> list[Entry]:
        """Up to `records_max` entries, in order within each topic; [] when nothing came within `wait_ms`."""
        until_s = time.monotonic() + wait_ms / 1000
        while True:
            entries = self._take(records_max)
            left_s = until_s - time.monotonic()
            if entries or left_s < 0:
                return entries
            self._wake.clear()
            await self._wait(records_max, min(left_s, _LOOK_S))

    def pause(self, *topics: str) -> None:
        """Deliver nothing of these topics until they are resumed; their positions stay."""
        self._paused.update(topics)

    def resume(self, *topics: str) -> None:
        """Deliver these topics again, beginning with what was fetched meanwhile."""
        self._paused.difference_update(topics)
        if self._consumer is not None:
            self._consumer.resume(*(self._consumer.assignment() & {TopicPartition(topic, 0) for topic in topics}))
        self._wake.set()

    def positions(self) -> dict[str, int]:
        """The next offset of each topic: one after the last entry delivered, or where reading begins."""
        return dict(self._positions)

    def gone(self) -> frozenset[str]:
        """Assigned topics that the broker told nothing of when it was last asked; Kafka reports a loss no other way.

        Only a suspicion, and free of cost: metadata that is not there yet looks the same. `missing` makes it certain.
        """
        consumer = self._consumer
        if consumer is None:
            return frozenset()
        return frozenset(topic for topic in self._positions if not consumer.partitions_for_topic(topic))

    async def missing(self, topics: Iterable[str]) -> frozenset[str] | None:
        """Those of `topics` that the broker has not; None when it does not answer now. Asks nothing about none."""
        consumer, topics = self._consumer, frozenset(topics)
        if consumer is None or not topics:
            return None if topics else topics
        try:
            async with asyncio.timeout(_STALL_S):
                there: set[str] = await consumer.topics()
        except (KafkaError, OSError, TimeoutError, *DAMAGED):
            await self._forget_poll()
            await self._drop_consumer()  # the connection may be dead and fetches, over another one, know nothing of it
            return None
        return topics - there

    async def forbidden(self, topics: Iterable[str]) -> frozenset[str]:
        """Those of `topics` that this client may not see; none while there is no connection."""
        return frozenset() if self._consumer is None else await forbidden(self._consumer._client, topics)

    async def close(self) -> None:
        """End the consumer; bounded, and the reader is of no use afterwards."""
        await self._forget_poll()
        await self._drop_consumer()

    async def ends(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        """The offsets at which topics, or those assigned, end now (of what is committed, for a committed reader).

        Raises LocalError naming the topics that do not exist or may not be read.
        """
        while True:
            try:
                consumer = await self._live_consumer()
                names = self._positions.keys() if topics is None else set(topics)
                try:
                    async with asyncio.timeout(_STALL_S):
                        await _introduce(consumer, names)
                        ends = await _offsets(consumer.end_offsets, [TopicPartition(name, 0) for name in names])
                except TimeoutError:
                    async with asyncio.timeout(_STALL_S):
                        await self._check_topics(consumer, names)
                    raise
                return {tp.topic: offset for tp, offset in ends.items()}
            except (KafkaError, OSError, TimeoutError) as error:
                await self._replace(error)

    async def reached(self, ends: Mapping[str, int]) -> bool:
        """Whether everything before `ends` was delivered; control records take offsets but are never delivered."""
        if self._consumer is None or any(self._fetched.values()):
            return False
        at = await self.fetched()
        return all(at.get(topic, -1) >= offset for topic, offset in ends.items())

    async def fetched(self) -> dict[str, int]:
        """How far each topic was fetched; further than it is delivered where nothing of what came is."""
        consumer = self._consumer
        if consumer is None:
            return {}
        return {tp.topic: await consumer.position(tp) for tp in consumer.assignment()}

    def _take(self, records_max: int) -> list[Entry]:
        taken: list[Entry] = []
        for topic, entries in self._fetched.items():
            while entries and topic not in self._paused and len(taken) < records_max:
                taken.append(entries.popleft())
                self._positions[topic] = taken[-1].offset + 1
        return taken

    async def _wait(self, records_max: int, seconds: float) -> None:
        """Wait for records or a resumed topic. A poll under way is kept, so that no cancellation loses it."""
        if self._poll is None and self._positions:
            self._poll = asyncio.create_task(self._fetch(records_max))
        poll, woken = self._poll, asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({woken, *([poll] if poll else [])}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        if poll is not None and poll is self._poll and poll.done():
            self._poll = None
            self._keep(poll.result())
        if silent := self._silent():
            await self._forget_poll()
            self._link.rebuilt("topic", silent)
            await self._drop_consumer()
        elif self._stalled():
            await self._forget_poll()
            self._link.rebuilt("reader", f"no answer to a fetch for {time.monotonic() - self._heard_s:.0f} s")
            await self._replace(KafkaError("the consumer stalled"))

    async def _fetch(self, records_max: int) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """The next records, over as many consumers as that takes."""
        while True:
            try:
                consumer = await self._live_consumer()
                fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=records_max)
                return fetched
            except OffsetOutOfRangeError as error:
                await self._skip_lost(error)
            except (KafkaError, OSError, *DAMAGED) as error:
                self._thorough = isinstance(error, (CorruptRecordException, *DAMAGED))
                await self._replace(error)
                if self._thorough:
                    await asyncio.sleep(self._damage.met(str(error), time.monotonic()))

    def _keep(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        if fetched:  # what was fetched while nobody asked is progress, too
            self._heard_s = time.monotonic()
        for tp, records in fetched.items():
            first = self._next(tp.topic)
            entries = self._fetched[tp.topic]
            wanted = (r for r in records if r.offset >= first)
            entries.extend(entry_of(record, self._since_ms.pop((tp.topic, record.offset), None)) for record in wanted)
            if tp.topic in self._paused and len(entries) >= _HELD_MAX and self._consumer is not None:
                self._consumer.pause(tp)

    def _note_run(self, topic: str, offset: int, since_ms: int) -> None:
        self._since_ms[topic, offset] = since_ms

    def _silent(self) -> str:
        """Which topic is answered no more although the others are; the broker is not away then.

        Left out are paused topics, those whose records wait here to be taken, and those that the broker has not.
        """
        consumer = self._consumer
        if consumer is None:
            return ""
        asked = consumer.assignment() - consumer.paused() - consumer._fetcher._records.keys()
        stamps = {tp.topic: consumer.last_poll_timestamp(tp) for tp in asked if consumer.partitions_for_topic(tp.topic)}
        topic, behind_s = self._silence.longest(stamps, time.monotonic())
        if behind_s > self._link.stall_s("topic", _STALL_S):
            return f"no answer for {topic} for {behind_s:.0f} s, while others are answered"
        if topic and behind_s < _SILENT_S:
            self._link.got_on("topic")
        return ""

    def _stalled(self) -> bool:
        """Tell the link whether the broker answers: even an empty fetch leaves a new time stamp on its topics."""
        consumer, now_s = self._consumer, time.monotonic()
        if consumer is None:
            return False
        active = consumer.assignment() - consumer.paused()
        stamp = max((consumer.last_poll_timestamp(tp) or 0 for tp in active), default=None)
        if stamp is None or stamp != self._stamp:
            self._stamp, self._heard_s = stamp, now_s
            if stamp:
                self._link.got_on("reader")
                self._link.up()
            return False
        silent_s = now_s - max(self._heard_s, self._link.throttled_until_s("fetch"))
        if silent_s > self._link.stall_s("reader", _STALL_S):
            return True
        if silent_s > _SILENT_S + self._fetch_wait_ms / 1000:
            self._link.down("no answer to a fetch")
        return False

    async def _assign(self) -> None:
        """Check the topics and seek, with the consumer that is there or a fresh one; it is dropped when that fails."""
        consumer = self._consumer or await started(self._new_consumer, self._link)
        try:
            async with asyncio.timeout(_STALL_S):
                await self._check_topics(consumer, self._positions.keys())
            await self._seek_all(consumer)
        except BaseException:
            self._consumer = None
            await end(consumer)
            raise
        self._consumer = consumer

    async def _live_consumer(self) -> AIOKafkaConsumer:
        """The consumer; a fresh one, at the remembered positions, where there is none."""
        if self._consumer is None:
            consumer = await started(self._new_consumer, self._link)
            try:
                await self._seek_all(consumer)
            except BaseException:
                await end(consumer)
                raise
            self._consumer = consumer
        return self._consumer

    def _new_consumer(self) -> AIOKafkaConsumer:
        return new_consumer(
            self._settings,
            committed=self._committed,
            fetch_wait_ms=self._fetch_wait_ms,
            thorough=self._thorough,
            thin=self._note_run if self._thin else None,
        )

    async def _seek_all(self, consumer: AIOKafkaConsumer) -> None:
        """Assign and seek in one step, since assign() forgets positions; EARLIEST and LATEST become offsets at once."""
        self._stamp, self._heard_s = None, time.monotonic()
        self._silence.forget()
        tps = {topic: TopicPartition(topic, 0) for topic in self._positions}
        if not tps:
            return
        await _introduce(consumer, tps)
        consumer._fetcher._prefetch_backoff = _AHEAD_S
        consumer.assign(list(tps.values()))
        for topic, tp in tps.items():
            consumer.seek(tp, max(self._next(topic), 0))
        for position, find in ((EARLIEST, consumer.beginning_offsets), (LATEST, consumer.end_offsets)):
            open_tps = [tps[topic] for topic, wanted in self._positions.items() if wanted == position]
            if open_tps:
                consumer.pause(*open_tps)
                for tp, offset in (await _offsets(find, open_tps)).items():
                    self._positions[tp.topic] = offset
                    consumer.seek(tp, offset)
                consumer.resume(*open_tps)

    async def _check_topics(self, consumer: AIOKafkaConsumer, names: Set[str]) -> None:
        """Without this a wrong name would simply never deliver anything: aiokafka reports neither error nor record."""
        if missing := await absent(names, consumer.topics):
            closed = await forbidden(consumer._client, missing)
            raise TopicMissing(missing, self._settings.bootstrap, forbidden=closed)

    def _next(self, topic: str) -> int:
        entries = self._fetched[topic]
        return entries[-1].offset + 1 if entries else self._positions[topic]

    async def _skip_lost(self, error: OffsetOutOfRangeError) -> None:
        """Go on at the beginning of a topic whose wanted offset is gone, and say how much was missed."""
        try:
            consumer = await self._live_consumer()
            for tp, offset in error.args[0].items():
                first = (await _offsets(consumer.beginning_offsets, [tp]))[tp]
                last = (await _offsets(consumer.end_offsets, [tp]))[tp]
                if not first <= offset <= last:
                    count = first - offset if offset < first else offset - last
                    self.lost[tp.topic] = self.lost.get(tp.topic, 0) + count
                    _log.error(
                        "records gone before they were read", topic=tp.topic, wanted=offset, first=first, count=count
                    )
                    self._positions[tp.topic] = offset = first
                consumer.seek(tp, offset)
        except (KafkaError, OSError) as away:
            await self._replace(away)

    async def _replace(self, error: BaseException) -> None:
        """Drop the consumer after `error`; the next use makes a fresh one. Raises LocalError where that cannot help."""
        if isinstance(error, TopicAuthorizationFailedError) and error.args and error.args[0] in self._positions:
            raise TopicMissing(error.args, self._settings.bootstrap, forbidden=error.args) from error
        final = refused(error)
        if final is not None:
            raise final from error
        self._link.down(error)
        await self._drop_consumer()
        await self._link.backoff()

    async def _drop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await end(consumer)

    async def _forget_poll(self) -> None:
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.cancel()
            await asyncio.wait({poll})
            if not poll.cancelled():
                poll.exception()


async def _introduce(consumer: AIOKafkaConsumer, names: Iterable[str]) -> None:
    """Topics that a consumer is asked about and has not met: it would find out one after another, at 0.5 s each."""
    client = consumer._client
    async with asyncio.timeout(_STALL_S):
        for update in [client.add_topic(name) for name in names if not consumer.partitions_for_topic(name)]:
            await update


async def _offsets(
    find: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]], tps: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """What `find` tells of every one of the partitions; a broker may leave one out, which is asked for again then."""
    found = await find(tps)
    if left_out := sorted(tp.topic for tp in tps if tp not in found):
        raise KafkaProtocolError(f"no offset was told of {', '.join(left_out)}")
    return found


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
