"""Batches that no client of ours writes, on a real broker: they stop nobody, and what a reader holds stays small."""

import asyncio
import gc
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from schemas.errors import LocalError
from tests.broker.conftest import make_topics
from tests.transport.raw import ZSTD, batch, with_unreadable_header, zipped, zstd_frame
from transport.bodies import BodyReader, BodyWriter
from transport.errors import BodyGone
from transport.reading.log import EARLIEST, Entry, LogReader
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

pytestmark = pytest.mark.broker


async def _write_raw(settings: KafkaSettings, topic: str, records: bytes) -> int:
    """Store a batch as it is; returns its offset."""
    client = AIOKafkaClient(**settings.how)
    await client.bootstrap()
    try:
        await client.fetch_all_metadata()
        node = next(iter(client.cluster.brokers())).nodeId
        response = await client.send(node, ProduceRequest(None, -1, 30_000, [(topic, [(0, records)])]))
    finally:
        await client.close()
    [(_, [(_, code, offset, *_)])] = response.topics
    assert code == 0
    return int(offset)


async def _read(reader: LogReader, count: int) -> list[Entry]:
    entries: list[Entry] = []
    async with asyncio.timeout(30):
        while len(entries) < count:
            entries += await reader.batch(wait_ms=200)
    return entries


STRANGE = {
    "zstd": (batch(b"poison", codec=ZSTD, pack=zstd_frame), "compressed"),
    "gzip": (zipped(b"1", b"2", b"3"), "compressed"),
    "no UTF-8": (with_unreadable_header(b"poison"), "malformed"),
}


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kind", STRANGE)
async def test_a_batch_that_nobody_opens_stops_neither_its_topic_nor_another(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], kind: str, committed: bool
) -> None:
    strange, reason = STRANGE[kind]
    bad, good = name("bad"), name("good")
    await make_topics(settings, bad, good)
    writer, reader = Writer(settings, link), LogReader(settings, link, committed=committed)
    await writer.send(bad, b"before")
    at = await _write_raw(settings, bad, strange)
    after = await writer.send(bad, b"after")
    await reader.assign({bad: EARLIEST, good: EARLIEST})
    entries = await _read(reader, 3)
    assert [(one.offset, one.value, one.refused) for one in entries] == [
        (at - 1, b"before", ""), (after - 1, b"", reason), (after, b"after", ""),
    ]  # fmt: skip
    await _write_raw(settings, bad, strange)  # while it is read
    await writer.send(good, b"other")
    assert {(one.topic, one.refused) for one in await _read(reader, 2)} == {(bad, reason), (good, "")}
    assert await reader.reached(await reader.ends())
    await reader.close()
    await writer.close()


async def test_a_body_with_a_chunk_that_nobody_opens_is_gone_and_other_bodies_are_not(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("bodies")
    await make_topics(settings, topic)
    writer, reader = Writer(settings, link), BodyReader(settings, link)
    first = await writer.send(topic, bytes(100_000))
    offsets = [await _write_raw(settings, topic, strange) for strange, _ in STRANGE.values()]
    last = await writer.send(topic, bytes(100_000))
    assert len([chunk async for chunk in reader.chunks(topic, [(first, 1), (last, 1)])]) == 2
    client = reader._client
    async with asyncio.timeout(20):
        for offset in offsets:
            with pytest.raises(BodyGone, match=f"offset {offset} holds a (compressed|malformed) batch"):
                [chunk async for chunk in reader.chunks(topic, [(first, 1), (offset, 1)])]
    assert reader._client is client
    await reader.close()
    await writer.close()


async def test_what_a_reader_of_many_topics_holds_ahead_is_one_answer_of_the_broker(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topics = [name(f"site-{number}") for number in range(12)]
    await make_topics(settings, *topics)
    producer = AIOKafkaProducer(**settings.how, linger_ms=5)
    await producer.start()
    for topic in topics:
        for _ in range(800):
            await producer.send(topic, bytes(500))
    await producer.stop()
    reader = LogReader(settings, link, committed=False)
    await reader.assign(dict.fromkeys(topics, EARLIEST))
    held, until_s = [], time.monotonic() + 2.5
    while time.monotonic() < until_s:
        assert await reader.batch(records_max=8)
        await asyncio.sleep(0.15)
        waiting = reader._live.now._fetcher._records.values() if reader._live.now else []
        held.append(sum(one._partition_records._records.size_in_bytes() for one in waiting))
    assert 0 < max(held) <= settings.fetch_bytes
    await reader.close()


async def test_a_topic_that_takes_no_batch_of_this_size_is_told_and_nothing_else_is(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = name("small")
    await make_topics(settings, topic, max_message_bytes="100000")
    writer = BodyWriter(settings, link)
    with pytest.raises(LocalError, match=topic) as caught:
        await writer.upload(topic, 8, lambda _: bytes(500_000))
    assert f"--entity-name {topic}" in caught.value.hint
    await writer.close()
    del caught
    gc.collect()  # asyncio tells of what nobody looked at when it is thrown away
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text
