"""Bodies by reference: sealed chunks of 512 KiB go up over a bounded window and come down by their offsets.

Knows:    where each chunk lies (runs of offsets), which were acknowledged before a cut, how to fetch side by side.
Never:    opens, digests or keeps a body; memory stays at a few chunks for any size.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

from aiokafka import TopicPartition, errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from transport.clients import end, new_client, refused, started
from transport.errors import BodyGone
from transport.reading.batches import DAMAGED, sieved, why_refused
from transport.reading.fetched import of_topic
from transport.settings import SEALED_CHUNK_BYTES, KafkaSettings
from transport.staying.link import Link
from transport.staying.pace import Pace
from transport.writing.writer import Ticket, Writer

Runs = tuple[tuple[int, int], ...]

_ONE_CHUNK_BYTES = SEALED_CHUNK_BYTES + 1024  # with the headers of its batch
_FETCH_WAIT_MS = 5  # the chunks are there; a longer wait would only hold up the topics behind it on the connection
_AHEAD_MAX = 4  # up to so many streams fetch their next chunks while the last ones are looked at
_EMPTY_MAX, _EMPTY_S = 5, 0.2  # a broker that has just restarted may serve an offset a moment later; see `_values`


def runs_of(offsets: Sequence[int]) -> Runs:
    """Consecutive offsets as (first, count), in the order given: (7, 8, 9, 3) -> ((7, 3), (3, 1))."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and offset == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((offset, 1))
    return tuple(runs)


def _new_pace(settings: KafkaSettings, most_bytes: int) -> Pace:
    return Pace(unit_bytes=_ONE_CHUNK_BYTES, most_bytes=most_bytes, limit_s=settings.request_timeout_ms / 1000)


class BodyWriter:
    """Sends bodies through one writer, `window` chunks in flight."""

    def __init__(self, settings: KafkaSettings, link: Link, writer: Writer | None = None, window: int = 6) -> None:
        self._own = writer is None
        self._writer = writer or Writer(settings, link)
        self._window = window
        self._pace = _new_pace(settings, settings.batch_bytes)

    async def upload(
        self,
        topic: str,
        count: int,
        chunk: Callable[[int], bytes | memoryview],
        *,
        ready: Callable[[int], Awaitable[None]] | None = None,
        acked: Mapping[int, int] | None = None,
        on_acked: Callable[[int, int], None] | None = None,
    ) -> Runs:
        """Send chunks 0 … count-1 and return where they lie, ((first_offset, count), …) in chunk order.

        chunk      chunk(i) -> the i-th sealed chunk; called in the event loop, so a read of 512 KiB and no more
        ready      awaited before chunk(i): returns when there is such a chunk, for a body that is still being written
        acked      chunk index -> offset, acknowledged to an earlier, interrupted upload of this body: not sent again
        on_acked   called with (index, offset) after each acknowledgement, for the caller to remember
        Waits for the broker for ever. Raises LocalError as Writer.send does.
        """
        offsets = dict(acked or {})
        waiting = deque(index for index in range(count) if index not in offsets)
        flying: deque[tuple[int, Ticket]] = deque()
        since_s, together = time.monotonic(), 0
        while waiting or flying:
            while waiting and len(flying) < self._in_flight():
                index = waiting.popleft()
                if ready is not None:
                    await ready(index)
                if not flying:
                    since_s = time.monotonic()
                flying.append((index, await self._writer.post(topic, chunk(index))))
            index, ticket = flying.popleft()
            offset = await self._writer.settle(ticket)
            if offset is None:
                self._pace.timed_out()
                together = 0
                waiting.appendleft(index)
                continue
            if together:
                together -= 1  # came with the acknowledgement before, which counted for all of its request
            else:
                together = sum(ticket.acknowledged.done() for _, ticket in flying)
                self._pace.took((1 + together) * _ONE_CHUNK_BYTES, time.monotonic() - since_s)
                since_s = time.monotonic()
            offsets[index] = offset
            if on_acked is not None:
                on_acked(index, offset)
        return runs_of([offsets[index] for index in range(count)])

    def _in_flight(self) -> int:
        """Chunks on their way at once; what is handed over together goes up in one request, up to `batch_bytes`."""
        bytes_max = self._pace.request_bytes
        return self._window if bytes_max >= self._pace.most_bytes else min(self._window, bytes_max // _ONE_CHUNK_BYTES)

    async def close(self) -> None:
        """End the writer, if it is this one's own."""
        if self._own:
            await self._writer.close()


class BodyReader:
    """One connection for any number of body topics; several streams run side by side, each in order.

    Requests are our own: aiokafka's consumer would need an assignment, a seek and a pause for every body.
    """

    def __init__(self, settings: KafkaSettings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._client: AIOKafkaClient | None = None
        self._starting = asyncio.Lock()
        self._streams = 0
        self._pace = _new_pace(settings, settings.fetch_bytes)

    async def chunks(
        self, topic: str, runs: Sequence[tuple[int, int]], *, checked: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The sealed chunks of a body, one by one; as `batches` otherwise."""
        async with contextlib.aclosing(self.batches(topic, runs, checked=checked)) as batches:
            async for values in batches:
                while values:
                    yield values.pop(0)

    async def batches(
        self, topic: str, runs: Sequence[tuple[int, int]], *, checked: bool = False
    ) -> AsyncGenerator[list[bytes], None]:
        """The sealed chunks of a body in order, as many at a time as one fetch brings; the lists are the caller's.

        checked   compare with Kafka's checksums, and fetch again what was changed on the way: where a chunk that does
                  not open would be held against whoever wrote it. It costs as much as hashing
        Waits for the broker for ever; nothing else is checked but the offsets. Raises BodyGone when an offset holds no
        chunk any more, or the topic itself is gone.
        """
        self._streams += 1
        ahead: asyncio.Task[list[bytes]] | None = None
        try:
            left = deque(run for run in runs if run[1] > 0)
            while left:
                first, count = left.popleft()
                values = await (ahead or self._fetch(topic, first, count, checked))
                if len(values) < count:
                    left.appendleft((first + len(values), count - len(values)))
                wanted = left and self._streams <= _AHEAD_MAX
                ahead = asyncio.create_task(self._fetch(topic, *left[0], checked)) if wanted else None
                yield values
        finally:
            self._streams -= 1
            if ahead is not None:
                ahead.cancel()

    async def close(self) -> None:
        """End the connection; bounded. A stream still open makes a new one when it is read on."""
        client, self._client = self._client, None
        if client is not None:
            await end(client)

    async def _fetch(self, topic: str, offset: int, count: int, checked: bool) -> list[bytes]:
        """At least one and at most `count` chunks, beginning at `offset`; slow links, many streams: smaller bites."""
        empty = 0
        while True:
            client = await self._live_client()
            share = max(_ONE_CHUNK_BYTES, self._pace.request_bytes // max(1, self._streams))
            began_s = time.monotonic()
            try:
                values = await _fetch_once(client, topic, offset, min(count * _ONE_CHUNK_BYTES, share), checked)
            except (errors.KafkaError, OSError) as error:
                if isinstance(error, errors.RequestTimedOutError):
                    self._pace.timed_out()
                await self._failed(client, error)
                continue
            self._link.up()
            if values is None:
                continue  # slowed down by a quota: the client waits before it asks again
            self._pace.took(sum(map(len, values)), time.monotonic() - began_s)
            if values:
                return values[:count]
            empty += 1
            if empty == _EMPTY_MAX:
                raise BodyGone(topic, offset)
            await asyncio.sleep(_EMPTY_S)

    async def _live_client(self) -> AIOKafkaClient:
        async with self._starting:
            if self._client is None:
                self._client = await started(lambda: new_client(self._settings), self._link)
            return self._client

    async def _failed(self, client: AIOKafkaClient, error: BaseException) -> None:
        final = refused(error)
        if final is not None:
            raise final from error
        if client is self._client:
            self._client = None
            self._link.down(error)
            await end(client)
        await self._link.backoff()


async def _fetch_once(
    client: AIOKafkaClient, topic: str, offset: int, bytes_max: int, checked: bool
) -> list[bytes] | None:
    """The chunks that one fetch request brings; [] when there is nothing at that offset yet, None: not now."""
    request = FetchRequest(_FETCH_WAIT_MS, 1, bytes_max, 0, [(topic, [(0, offset, bytes_max)])])
    response = await client.send(await _leader(client, topic, offset), request)
    try:
        records = of_topic(response, topic)
    except errors.OffsetOutOfRangeError:
        raise BodyGone(topic, offset) from None
    return None if records is None else _parsed(topic, offset, records, checked)


async def _leader(client: AIOKafkaClient, topic: str, offset: int) -> int:
    """The node that has the topic. Raises BodyGone when nobody knows the topic."""
    partition = TopicPartition(topic, 0)
    for wait_s in (0.0, 0.1, 0.4, 1.0, 2.0):  # after a restart the broker may know its topics a moment later
        leader = client.cluster.leader_for_partition(partition)
        if leader is not None and leader != -1:
            return int(leader)
        await asyncio.sleep(wait_s)
        if not await client.force_metadata_update():
            raise errors.LeaderNotAvailableError(topic)
    raise BodyGone(topic, offset)


def _parsed(topic: str, offset: int, records: bytes, checked: bool) -> list[bytes]:
    """Raises CorruptRecordException for what was changed on its way; what was written like this is no chunk."""
    try:
        return _values(topic, offset, MemoryRecords(sieved(records)), checked)
    except (errors.CorruptRecordException, *DAMAGED):
        pass  # whose fault it is shows when each batch is looked at for itself
    try:
        return _values(topic, offset, MemoryRecords(sieved(records, thorough=True)), checked)
    except DAMAGED as error:
        raise errors.CorruptRecordException(topic) from error


def _values(topic: str, offset: int, records: MemoryRecords, checked: bool = False) -> list[bytes]:
    """The values at `offset`, `offset` + 1, … as far as they follow each other without a gap.

    [] where `offset` itself is a gap, which may not be true: no checksum covers the offset of a batch. Raises BodyGone
    where a batch lies there that nobody opens.
    """
    values: list[bytes] = []
    while records.has_next():
        batch = records.next_batch()  # the digest and the GCM tag verify its bytes: its CRC only tells who changed them
        if checked and not batch.validate_crc():
            raise errors.CorruptRecordException(topic)
        if batch.is_control_batch:
            break
        for record in batch:
            if record.offset >= offset + len(values):
                reason = why_refused(record.headers)
                if reason and not values:
                    raise BodyGone(topic, offset, f"a {reason} batch and no chunk")
                if reason or record.offset > offset + len(values) or record.value is None:
                    return values
                values.append(record.value)
    return values
