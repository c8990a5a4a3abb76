"""Reading and writing topics while the broker, its links or a client fail."""

import asyncio
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from schemas.errors import TransientError
from tests.broker.access import reach
from tests.broker.conftest import make_topics
from tests.broker.topics import numbers, read, write
from transport.admin import Admin, within
from transport.reading import damage, watching
from transport.reading.log import EARLIEST, LogReader, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import watch
from transport.writing.writer import Writer

pytestmark = pytest.mark.broker


async def test_a_killed_broker_neither_loses_doubles_nor_reorders(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    settings = reach(mortal_kafka.bootstrap, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    await make_topics(settings, topic)
    changes: list[bool] = []
    link.on_change(changes.append)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})

    async def send() -> None:
        for number in range(200):
            await writer.send(topic, b"%d" % number)
            await asyncio.sleep(0.005)

    async def fault() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(mortal_kafka.kill)
        await asyncio.sleep(4)
        mortal_kafka.launch()
        await asyncio.to_thread(mortal_kafka.wait_ready)

    sending, failing = asyncio.create_task(send()), asyncio.create_task(fault())
    entries = await read(reader, 200, 120)
    await asyncio.gather(sending, failing)
    assert numbers(entries) == list(range(200))
    assert changes[-3:] == [True, False, True]
    assert await reader.batch(wait_ms=300) == []
    await reader.close()
    await writer.close()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_cut_link_delays_and_nothing_else(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str], silent: bool
) -> None:
    proxy, address = cut_link
    settings = reach(address, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})
    await writer.send(topic, b"0")
    assert numbers(await read(reader, 1)) == [0]
    await proxy.cut(silent=silent)
    sending = asyncio.create_task(writer.send(topic, b"1"))
    async with asyncio.timeout(20):
        while link.connected:
            assert await reader.batch(wait_ms=200) == []
    assert not sending.done()
    await proxy.restore()
    assert numbers(await read(reader, 1)) == [1]
    assert await sending == 1
    assert link.connected
    await reader.close()
    await writer.close()


async def test_a_command_gives_up_when_nobody_listens(free_port: int) -> None:
    settings = reach(f"127.0.0.1:{free_port}", "tests")
    link = Link(settings)
    admin, writer, reader = Admin(settings, link), Writer(settings, link), LogReader(settings, link)
    for attempt in (
        admin.existing(["x"]),
        writer.start(),
        reader.assign({"x": EARLIEST}),
        read_to_end(settings, link, ["x"]),
    ):
        with pytest.raises(TransientError, match=settings.bootstrap):
            await within(attempt, 1.0, link)
    assert not link.connected
    for client in (admin, writer, reader):
        await client.close()


async def test_closing_is_bounded_while_the_broker_is_away(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str]
) -> None:
    proxy, address = cut_link
    settings = reach(address, "tests")
    link, topic = Link(settings), name("log")
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})
    await writer.send(topic, b"0")
    await proxy.cut(silent=True)
    sending = asyncio.create_task(writer.send(topic, b"1"))
    reading = asyncio.create_task(reader.batch(wait_ms=60_000))
    await asyncio.sleep(0.2)
    for task in (sending, reading):
        task.cancel()
    await asyncio.gather(sending, reading, return_exceptions=True)
    began = time.monotonic()
    await asyncio.gather(reader.close(), writer.close())
    assert time.monotonic() - began < 15
    await asyncio.sleep(0.5)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "aiokafka" in repr(task)]


def _replaced(link: Link) -> "asyncio.Queue[str]":
    """The kinds of clients that are replaced from now on."""
    kinds: asyncio.Queue[str] = asyncio.Queue()
    link.on_rebuild(kinds.put_nowait)
    return kinds


async def test_a_producer_that_hangs_while_others_are_answered_is_replaced_and_counted(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STALL_S", 1.0)
    proxy, address = cut_link
    settings = reach(address, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    replaced = _replaced(link)
    await make_topics(settings, topic)
    writer = Writer(settings, link)
    assert await writer.send(topic, b"0") == 0
    await proxy.cut(silent=True)
    link.up()  # as another client that is still answered would say
    sending = asyncio.create_task(writer.send(topic, b"1"))
    async with asyncio.timeout(20):
        assert await replaced.get() == "producer"
    await proxy.restore()
    async with asyncio.timeout(30):
        await sending
    await writer.close()


async def test_a_reader_that_hangs_is_replaced_counted_and_reads_on(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STALL_S", 1.0)
    proxy, address = cut_link
    settings = reach(address, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    replaced = _replaced(link)
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})
    await writer.send(topic, b"0")
    assert numbers(await read(reader, 1)) == [0]
    await proxy.cut(silent=True)
    async with asyncio.timeout(20):
        while replaced.empty():
            assert await reader.batch(wait_ms=200) == []
    await proxy.restore()
    await writer.send(topic, b"1")
    assert numbers(await read(reader, 1)) == [1]
    assert replaced.get_nowait() == "reader"
    await reader.close()
    await writer.close()


async def test_topics_without_records_beside_lively_and_paused_ones_are_not_taken_for_silent(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STALL_S", 1.0)
    lively, held, quiet = name("lively"), name("held"), name("quiet")
    await make_topics(settings, lively, held, quiet)
    rebuilt: list[str] = []
    link.on_rebuild(rebuilt.append)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({lively: EARLIEST, held: EARLIEST, quiet: EARLIEST})
    reader.pause(held)
    until_s, number, seen = time.monotonic() + 6, 0, 0
    while time.monotonic() < until_s:
        for topic in (lively, held):
            await writer.send(topic, b"%d" % number)
        number += 1
        if number == 100:
            reader.resume(held)
        seen += len(await reader.batch(records_max=4, wait_ms=20))
    while seen < 2 * number:
        seen += len(await reader.batch(wait_ms=20))
    assert number > 100
    assert rebuilt == []
    await reader.close()
    await writer.close()


async def test_records_that_are_damaged_on_the_brokers_disk_are_named_and_read_once_they_are_mended(
    mortal_kafka: Broker, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "TRIES", 2)
    settings = reach(mortal_kafka.bootstrap, "tests", fetch_wait_ms=50, backoff_max_s=0.2)
    link, topic = Link(settings), name("log")
    await make_topics(settings, topic)
    await write(settings, link, topic, b"1", b"2", b"marked", b"4")
    await asyncio.to_thread(mortal_kafka.stop)
    segment = next(mortal_kafka.folder.glob(f"**/{topic}-0/00000000000000000000.log"))
    right = segment.read_bytes()
    segment.write_bytes(right.replace(b"marked", b"nasty!"))
    mortal_kafka.launch()
    await asyncio.to_thread(mortal_kafka.wait_ready)
    reader = LogReader(settings, link)
    with capture_logs() as lines:
        await reader.assign({topic: EARLIEST})
        assert [entry.value for entry in await read(reader, 2)] == [b"1", b"2"]
        async with asyncio.timeout(30):
            while not any(line["event"] == "records are damaged each time they are read" for line in lines):
                assert await reader.batch(wait_ms=100) == []
    assert topic in next(line["reason"] for line in lines if line["log_level"] == "error")
    segment.write_bytes(right)
    assert [entry.value for entry in await read(reader, 2)] == [b"marked", b"4"]
    await reader.close()
