"""The consumer that a reader has at the moment: made, shown its topics, set to its offsets, replaced after an error.

Knows:    a consumer that has failed is ended and never used again; the next one goes on where the last one was.
Never:    delivers a record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Set

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaProtocolError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from transport import inside
from transport.clients import end, new_consumer, refused, started
from transport.errors import TopicMissing
from transport.reading.held import Held
from transport.reading.watching import STALL_S, Watching
from transport.settings import KafkaSettings
from transport.staying.absent import absent, forbidden
from transport.staying.link import Link

EARLIEST = -2
LATEST = -1
_AHEAD_S = 3600.0  # nothing is asked for while records wait: a reader of any number of topics holds one answer

_log = structlog.get_logger("transport")


class LiveConsumer:
    """Of one reader. `now` is None while there is none; `lost` counts records that were gone before they were read."""

    def __init__(
        self,
        settings: KafkaSettings,
        link: Link,
        held: Held,
        watching: Watching,
        *,
        committed: bool,
        fetch_wait_ms: int,
        thin: bool,
    ) -> None:
        self._settings, self._link, self._held, self._watching = settings, link, held, watching
        self._committed, self._fetch_wait_ms, self._thin = committed, fetch_wait_ms, thin
        self.now: AIOKafkaConsumer | None = None
        self.lost: dict[str, int] = {}
        self.thorough = False  # after damage each batch is looked at for itself

    async def assign(self) -> None:
        """Check the topics and seek, with the consumer that is there or a fresh one; it is dropped when that fails."""
        consumer = self.now or await started(self._new, self._link)
        try:
            async with asyncio.timeout(STALL_S):
                await self.check_topics(consumer, self._held.positions.keys())
            await self._seek_all(consumer)
        except BaseException:
            self.now = None
            await end(consumer)
            raise
        self.now = consumer

    async def live(self) -> AIOKafkaConsumer:
        """The consumer; a fresh one, at the remembered positions, where there is none."""
        if self.now is None:
            consumer = await started(self._new, self._link)
            try:
                await self._seek_all(consumer)
            except BaseException:
                await end(consumer)
                raise
            self.now = consumer
        return self.now

    def _new(self) -> AIOKafkaConsumer:
        return new_consumer(
            self._settings,
            committed=self._committed,
            fetch_wait_ms=self._fetch_wait_ms,
            thorough=self.thorough,
            thin=self._held.note_run if self._thin else None,
        )

    async def _seek_all(self, consumer: AIOKafkaConsumer) -> None:
        """Assign and seek in one step, since assign() forgets positions; EARLIEST and LATEST become offsets at once."""
        self._watching.begin()
        tps = {topic: TopicPartition(topic, 0) for topic in self._held.positions}
        if not tps:
            return
        await introduce(consumer, tps)
        inside.fetch_once_taken(consumer, _AHEAD_S)
        consumer.assign(list(tps.values()))
        for topic, tp in tps.items():
            consumer.seek(tp, max(self._held.next(topic), 0))
        for position, find in ((EARLIEST, consumer.beginning_offsets), (LATEST, consumer.end_offsets)):
            open_tps = [tps[topic] for topic, wanted in self._held.positions.items() if wanted == position]
            if open_tps:
                consumer.pause(*open_tps)
                for tp, offset in (await offsets_of(find, open_tps)).items():
                    self._held.positions[tp.topic] = offset
                    consumer.seek(tp, offset)
                consumer.resume(*open_tps)

    async def check_topics(self, consumer: AIOKafkaConsumer, names: Set[str]) -> None:
        """Without this a wrong name would simply never deliver anything: aiokafka reports neither error nor record."""
        if missing := await absent(names, consumer.topics):
            closed = await forbidden(inside.connections(consumer), missing)
            raise TopicMissing(missing, self._settings.bootstrap, forbidden=closed)

    async def skip_lost(self, error: OffsetOutOfRangeError) -> None:
        """Go on at the beginning of a topic whose wanted offset is gone, and say how much was missed."""
        try:
            consumer = await self.live()
            for tp, offset in error.args[0].items():
                first = (await offsets_of(consumer.beginning_offsets, [tp]))[tp]
                last = (await offsets_of(consumer.end_offsets, [tp]))[tp]
                if not first <= offset <= last:
                    count = first - offset if offset < first else offset - last
                    self.lost[tp.topic] = self.lost.get(tp.topic, 0) + count
                    _log.error(
                        "records gone before they were read", topic=tp.topic, wanted=offset, first=first, count=count
                    )
                    self._held.positions[tp.topic] = offset = first
                consumer.seek(tp, offset)
        except (KafkaError, OSError) as away:
            await self.replace(away)

    async def replace(self, error: BaseException) -> None:
        """Drop the consumer after `error`; the next use makes a fresh one. Raises LocalError where that cannot help."""
        if isinstance(error, TopicAuthorizationFailedError) and error.args and error.args[0] in self._held.positions:
            raise TopicMissing(error.args, self._settings.bootstrap, forbidden=error.args) from error
        final = refused(error)
        if final is not None:
            raise final from error
        self._link.down(error)
        await self.drop()
        await self._link.backoff()

    async def drop(self) -> None:
        consumer, self.now = self.now, None
        if consumer is not None:
            await end(consumer)


async def introduce(consumer: AIOKafkaConsumer, names: Iterable[str]) -> None:
    """Topics that a consumer is asked about and has not met: it would find out one after another, at 0.5 s each."""
    client = inside.connections(consumer)
    async with asyncio.timeout(STALL_S):
        for update in [client.add_topic(name) for name in names if not consumer.partitions_for_topic(name)]:
            await update


async def offsets_of(
    find: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]], tps: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """What `find` tells of every one of the partitions; a broker may leave one out, which is asked for again then."""
    found = await find(tps)
    if left_out := sorted(tp.topic for tp in tps if tp not in found):
        raise KafkaProtocolError(f"no offset was told of {', '.join(left_out)}")
    return found
