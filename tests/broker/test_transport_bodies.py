"""Bodies up and down on a real broker: resumed uploads, bodies that are gone, many topics side by side."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from ops.link_quality import Quality
from tests.broker.access import reach
from tests.broker.conftest import make_topics
from transport.admin import Admin
from transport.bodies import BodyReader, BodyWriter, runs_of
from transport.errors import BodyGone
from transport.settings import SEALED_CHUNK_BYTES, KafkaSettings
from transport.staying.link import Link
from transport.writing.transactions import TransactionalWriter
from transport.writing.writer import Writer

pytestmark = pytest.mark.broker


def _chunk(seed: str, size: int = SEALED_CHUNK_BYTES) -> Callable[[int], bytes]:
    def chunk(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{index}".encode()).digest() * (size // 32 + 1)

    return lambda index: chunk(index)[:size]


async def _digests(reader: BodyReader, topic: str, runs: Sequence[tuple[int, int]]) -> list[bytes]:
    return [hashlib.sha256(chunk).digest() async for chunk in reader.chunks(topic, runs)]


def _expected(chunk: Callable[[int], bytes], count: int) -> list[bytes]:
    return [hashlib.sha256(chunk(index)).digest() for index in range(count)]


async def test_a_body_of_many_chunks_comes_back_in_order(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, chunk, acked = name("bodies"), _chunk("a"), []
    await make_topics(settings, topic)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    runs = await writer.upload(topic, 40, chunk, on_acked=lambda index, offset: acked.append((index, offset)))
    assert runs == ((0, 40),)
    assert acked == [(index, index) for index in range(40)]
    assert await _digests(reader, topic, runs) == _expected(chunk, 40)
    await reader.close()
    await writer.close()


async def test_an_interrupted_upload_goes_on_at_the_first_chunk_not_acknowledged(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, chunk = name("bodies"), _chunk("b")
    await make_topics(settings, topic)
    acked: dict[int, int] = {}
    read: list[int] = []

    def on_acked(index: int, offset: int) -> None:
        acked[index] = offset
        if index == 11:
            raise ConnectionAbortedError  # as if the process died here

    writer = BodyWriter(settings, link)
    with pytest.raises(ConnectionAbortedError):
        await writer.upload(topic, 30, chunk, on_acked=on_acked)
    await writer.close()

    def counted(index: int) -> bytes:
        read.append(index)
        return chunk(index)

    again, reader = BodyWriter(settings, link), BodyReader(settings, link)
    runs = await again.upload(topic, 30, counted, acked=acked)
    assert read == list(range(12, 30))
    assert runs[0][0] == 0
    assert sum(count for _, count in runs) == 30
    assert await _digests(reader, topic, runs) == _expected(chunk, 30)
    assert await again.upload(topic, 12, counted, acked=acked) == ((0, 12),)
    await reader.close()
    await again.close()


async def test_a_body_that_is_gone_is_said_to_be_gone(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, missing, chunk = name("bodies"), name("missing"), _chunk("c", 1000)
    await make_topics(settings, topic)
    writer, reader, admin = BodyWriter(settings, link), BodyReader(settings, link), Admin(settings, link)
    runs = await writer.upload(topic, 6, chunk)
    await admin.trim(topic, 4)
    for wanted in (runs, [(6, 1)], [(1000, 1)]):
        with pytest.raises(BodyGone):
            await _digests(reader, topic, wanted)
    with pytest.raises(BodyGone, match=missing):
        await _digests(reader, missing, [(0, 1)])
    assert await _digests(reader, topic, [(4, 2)]) == _expected(chunk, 6)[4:]
    for client in (writer, reader, admin):
        await client.close()


async def test_a_control_record_in_the_place_of_a_chunk_is_no_chunk(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("bodies")
    await make_topics(settings, topic)
    transactions, reader = TransactionalWriter(settings, link, name("id")), BodyReader(settings, link)
    await transactions.write([(topic, b"chunk", None)])
    assert await _digests(reader, topic, [(0, 1)]) == [hashlib.sha256(b"chunk").digest()]
    with pytest.raises(BodyGone):
        await _digests(reader, topic, [(0, 2)])
    await transactions.close()
    await reader.close()


async def test_fifty_topics_are_read_side_by_side(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topics = [name(f"bodies-{number}") for number in range(50)]
    await make_topics(settings, *topics)
    shared = Writer(settings, link)
    writer, reader = BodyWriter(settings, link, shared), BodyReader(settings, link)
    chunks = {topic: _chunk(topic, 10_000 + number) for number, topic in enumerate(topics)}
    runs = await asyncio.gather(*(writer.upload(topic, 3, chunk) for topic, chunk in chunks.items()))
    assert set(runs) == {((0, 3),)}
    read = await asyncio.gather(*(_digests(reader, topic, [(0, 3)]) for topic in topics))
    assert read == [_expected(chunk, 3) for chunk in chunks.values()]
    await reader.close()
    await shared.close()


async def test_chunks_that_lie_scattered_and_in_any_order_are_found(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, chunk = name("bodies"), _chunk("d", 2000)
    await make_topics(settings, topic)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    await writer.upload(topic, 20, chunk)
    order = [7, 8, 9, 3, 19, 0, 1]
    assert await _digests(reader, topic, runs_of(order)) == [_expected(chunk, 20)[offset] for offset in order]
    assert await _digests(reader, topic, []) == []
    await reader.close()
    await writer.close()


async def test_a_stream_left_early_leaves_nothing_behind(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, chunk = name("bodies"), _chunk("e")
    await make_topics(settings, topic)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    runs = await writer.upload(topic, 30, chunk)
    stream = reader.chunks(topic, runs)
    assert await anext(stream) == chunk(0)
    await stream.aclose()
    assert await _digests(reader, topic, [(29, 1)]) == _expected(chunk, 30)[29:]
    await reader.close()
    await writer.close()


async def test_a_killed_broker_only_delays_upload_and_download(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    settings = reach(mortal_kafka.bootstrap, "tests")
    link, topic, chunk = Link(settings), name("bodies"), _chunk("f")
    await make_topics(settings, topic)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)

    async def restart() -> None:
        await asyncio.to_thread(mortal_kafka.kill)
        mortal_kafka.launch()
        await asyncio.to_thread(mortal_kafka.wait_ready)

    faults: list[asyncio.Task[None]] = []

    def on_acked(index: int, _: int) -> None:
        if index == 20:
            faults.append(asyncio.create_task(restart()))

    async with asyncio.timeout(100):
        runs = await writer.upload(topic, 200, chunk, on_acked=on_acked)
        await faults[0]
        digests: list[bytes] = []
        async for sealed in reader.chunks(topic, runs):
            digests.append(hashlib.sha256(sealed).digest())
            if len(digests) == 20:
                faults.append(asyncio.create_task(restart()))
        await faults[1]
    assert digests == _expected(chunk, 200)
    await reader.close()
    await writer.close()


async def test_a_cut_in_the_middle_of_an_upload_only_delays_it(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str]
) -> None:
    proxy, address = cut_link
    settings = reach(address, "tests")
    link, topic, chunk = Link(settings), name("bodies"), _chunk("g")
    await make_topics(settings, topic)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    loop = asyncio.get_running_loop()
    cuts: list[asyncio.Task[None]] = []

    def on_acked(index: int, _: int) -> None:
        if index in (5, 25):
            cuts.append(loop.create_task(proxy.cut(silent=index == 25)))
            loop.call_later(1.5, lambda: cuts.append(loop.create_task(proxy.restore())))

    async with asyncio.timeout(60):
        runs = await writer.upload(topic, 60, chunk, on_acked=on_acked)
    assert len(cuts) == 4
    assert await _digests(reader, topic, runs) == _expected(chunk, 60)
    await reader.close()
    await writer.close()


async def test_over_a_slow_link_no_request_outgrows_its_time_and_every_chunk_passes_once(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str]
) -> None:
    """500 kB/s and 4 s for a request, as 1 GB has with 120 s: four chunks at once would never come through."""
    proxy, address = cut_link
    settings = reach(address, "tests", request_timeout_ms=4_000)
    link, topic, count, chunk = Link(settings), name("bodies"), 12, _chunk("h")
    await make_topics(settings, topic)
    proxy.quality = Quality(up_bytes_s=500_000, down_bytes_s=500_000)
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    size_bytes = count * SEALED_CHUNK_BYTES
    async with asyncio.timeout(120):
        runs = await writer.upload(topic, count, chunk)
        assert await _digests(reader, topic, runs) == _expected(chunk, count)
    assert proxy.bytes_up < 1.05 * size_bytes
    assert proxy.bytes_down < 1.05 * size_bytes
    await reader.close()
    await writer.close()
