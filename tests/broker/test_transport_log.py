"""Reading and writing topics on a real broker, through cuts and kills."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from schemas.errors import LocalError, TransientError
from tests.broker.conftest import delete_topics, make_topics
from transport import clients, log, watch
from transport.admin import Admin, TopicSpec, within
from transport.errors import TopicMissing
from transport.link import Link
from transport.log import EARLIEST, LATEST, Entry, LogReader, each_to_end, read_to_end
from transport.settings import KafkaSettings
from transport.writer import Writer

pytestmark = pytest.mark.broker


async def _read(reader: LogReader, count: int, seconds: float = 30) -> list[Entry]:
    entries: list[Entry] = []
    async with asyncio.timeout(seconds):
        while len(entries) < count:
            entries += await reader.batch(wait_ms=200)
    return entries


async def _write(settings: KafkaSettings, link: Link, topic: str, *values: bytes) -> None:
    writer = Writer(settings, link)
    for value in values:
        await writer.send(topic, value)
    await writer.close()


def _numbers(entries: list[Entry]) -> list[int]:
    return [int(entry.value or b"-1") for entry in entries]


async def test_records_come_back_in_order_with_their_offsets(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    writer, reader = Writer(settings, link), LogReader(settings, link)
    offsets = [await writer.send(topic, b"%d" % number, b"key") for number in range(5)]
    await reader.assign({topic: EARLIEST})
    entries = await _read(reader, 5)
    assert [entry.offset for entry in entries] == offsets == list(range(5))
    assert _numbers(entries) == [0, 1, 2, 3, 4]
    assert {entry.key for entry in entries} == {b"key"}
    assert reader.positions() == {topic: 5}
    assert await reader.batch(wait_ms=50) == []
    await reader.close()
    await writer.close()


async def test_a_reader_begins_where_it_is_told_to(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    await _write(settings, link, topic, b"0", b"1", b"2")
    reader = LogReader(settings, link)
    await reader.assign({topic: 1})
    assert _numbers(await _read(reader, 2)) == [1, 2]
    await reader.assign({topic: LATEST})
    assert reader.positions() == {topic: 3}
    await _write(settings, link, topic, b"3")
    assert _numbers(await _read(reader, 1)) == [3]
    await reader.close()


@pytest.mark.usefixtures("impatient")
async def test_a_topic_that_does_not_exist_is_named(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, missing = name("log"), name("missing")
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    with pytest.raises(LocalError, match=missing):
        await reader.assign({topic: EARLIEST, missing: EARLIEST})
    with pytest.raises(LocalError, match=missing):
        await writer.send(missing, b"x")
    with pytest.raises(LocalError, match=missing):
        await read_to_end(settings, link, [missing])
    await reader.close()
    await writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_topic_that_is_deleted_while_it_is_read_to_its_end_is_named(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    await _write(settings, link, topic, *(bytes(500_000) for _ in range(40)))
    async with asyncio.timeout(60), aclosing(each_to_end(settings, link, [topic])) as entries:
        await anext(entries)
        await delete_topics(settings, topic)
        with pytest.raises(TopicMissing, match=topic):
            async for _ in entries:
                pass


@pytest.mark.usefixtures("impatient")
async def test_a_writer_names_a_topic_that_is_deleted_under_it_and_goes_on_once_it_is_made_again(
    settings: KafkaSettings,
    link: Link,
    name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(watch, "STALL_S", 2.0)
    topic, other = name("log"), name("other")
    await make_topics(settings, topic, other)
    writer = Writer(settings, link)
    assert [await writer.send(topic, b"0"), await writer.send(other, b"0")] == [0, 0]
    await delete_topics(settings, topic)
    async with asyncio.timeout(60):
        with pytest.raises(TopicMissing, match=topic):
            await writer.send(topic, b"1")
        assert await writer.send(other, b"1") == 1
        await make_topics(settings, topic)
        assert await writer.send(topic, b"2") == 0
    await writer.close()
    assert "Exception" not in capsys.readouterr().out


async def test_a_record_that_is_too_large_is_refused_and_the_next_one_passes(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    writer = Writer(settings, link)
    with pytest.raises(LocalError, match="size"):
        await writer.send(topic, bytes(3_000_000))
    assert await writer.send(topic, b"small") == 0
    await writer.close()


async def test_where_topics_end_is_told_without_a_try_in_vain_for_each_that_the_reader_has_not_met(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = names = [name("one"), name("two"), name("three")]
    await make_topics(settings, *names)
    for topic in names:
        await _write(settings, link, topic, b"0")
    monkeypatch.setattr(clients, "RETRY_MS", 60_000)
    reader = LogReader(settings, link)
    await reader.assign({first: EARLIEST})
    async with asyncio.timeout(30):
        assert await reader.ends(others) == dict.fromkeys(others, 1)
    await reader.close()


async def test_paused_topics_keep_their_place(settings: KafkaSettings, link: Link, name: Callable[[str], str]) -> None:
    one, two = name("one"), name("two")
    await make_topics(settings, one, two)
    await _write(settings, link, one, *(b"%d" % number for number in range(40)))
    reader = LogReader(settings, link)
    await reader.assign({one: EARLIEST, two: EARLIEST})
    reader.pause(one)
    await _write(settings, link, two, b"7")
    assert _numbers(await _read(reader, 1)) == [7]
    assert await reader.batch(wait_ms=300) == []
    assert reader.positions()[one] == 0
    reader.resume(one)
    assert _numbers(await _read(reader, 40)) == list(range(40))
    await reader.close()


async def test_of_what_was_fetched_meanwhile_the_topic_named_first_is_delivered_first(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    signed, keys = name("a-signed"), name("b-keys")
    await make_topics(settings, signed, keys)
    await _write(settings, link, signed, b"1", b"2")
    await _write(settings, link, keys, b"0")
    reader = LogReader(settings, link)
    await reader.assign({keys: EARLIEST, signed: EARLIEST})
    reader.pause(keys, signed)
    async with asyncio.timeout(30):
        while not all(reader._fetched.values()):
            assert await reader.batch(wait_ms=50) == []
    reader.resume(keys, signed)
    assert _numbers(await reader.batch()) == [0, 1, 2]
    await reader.close()


async def test_records_that_are_gone_are_counted_and_reading_goes_on(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    await _write(settings, link, topic, *(b"%d" % number for number in range(10)))
    admin = Admin(settings, link)
    await admin.trim(topic, 6)
    await admin.trim(topic, 6)
    reader = LogReader(settings, link)
    await reader.assign({topic: 2})
    assert _numbers(await _read(reader, 4)) == [6, 7, 8, 9]
    assert reader.lost == {topic: 4}
    await reader.close()
    await admin.close()


async def test_everything_on_empty_full_and_trimmed_topics_is_read_to_the_end(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    empty, full, trimmed = name("empty"), name("full"), name("trimmed")
    await make_topics(settings, empty, full, trimmed)
    await _write(settings, link, full, *(b"%d" % number for number in range(600)))
    await _write(settings, link, trimmed, b"0", b"1")
    admin = Admin(settings, link)
    await admin.trim(trimmed, 2)
    await admin.close()
    entries = await read_to_end(settings, link, [empty, full, trimmed])
    assert [entry.topic for entry in entries] == [full] * 600
    assert _numbers(entries) == list(range(600))
    assert _numbers(await read_to_end(settings, link, [full], start={full: 598})) == [598, 599]


async def test_a_cancelled_batch_loses_nothing(settings: KafkaSettings, link: Link, name: Callable[[str], str]) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    reader, entries = LogReader(settings, link), []
    await reader.assign({topic: EARLIEST})
    writer = Writer(settings, link)
    for number in range(30):
        waiting = asyncio.create_task(reader.batch(wait_ms=5_000))
        sending = asyncio.create_task(writer.send(topic, b"%d" % number))
        await asyncio.sleep(0.001 * (number % 7))
        waiting.cancel()
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        entries += outcome if isinstance(outcome, list) else []
        await sending
    entries += await _read(reader, 30 - len(entries))
    assert _numbers(entries) == list(range(30))
    await reader.close()
    await writer.close()


async def test_a_killed_broker_neither_loses_doubles_nor_reorders(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    settings = KafkaSettings(mortal_kafka.bootstrap, "tests", fetch_wait_ms=50)
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
    entries = await _read(reader, 200, 120)
    await asyncio.gather(sending, failing)
    assert _numbers(entries) == list(range(200))
    assert changes[-3:] == [True, False, True]
    assert await reader.batch(wait_ms=300) == []
    await reader.close()
    await writer.close()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_cut_link_delays_and_nothing_else(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str], silent: bool
) -> None:
    proxy, address = cut_link
    settings = KafkaSettings(address, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})
    await writer.send(topic, b"0")
    assert _numbers(await _read(reader, 1)) == [0]
    await proxy.cut(silent=silent)
    sending = asyncio.create_task(writer.send(topic, b"1"))
    async with asyncio.timeout(20):
        while link.connected:
            assert await reader.batch(wait_ms=200) == []
    assert not sending.done()
    await proxy.restore()
    assert _numbers(await _read(reader, 1)) == [1]
    assert await sending == 1
    assert link.connected
    await reader.close()
    await writer.close()


async def test_existing_topics_are_left_and_differences_told(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    one, two = name("one"), name("two")
    await make_topics(settings, one, cleanup_policy="compact")
    admin = Admin(settings, link)
    specs = [TopicSpec(one, config={"cleanup.policy": "delete"}), TopicSpec(two, config={"flush.messages": "1"})]
    told = await admin.create_topics(specs)
    assert [(d.topic, d.setting, d.wanted, d.actual) for d in told] == [(one, "cleanup.policy", "delete", "compact")]
    assert await admin.existing([one, two, name("three")]) == {one, two}
    assert (await admin.describe(two))["flush.messages"] == "1"
    with pytest.raises(LocalError, match="cleanup"):
        await admin.create_topics([TopicSpec(name("four"), config={"cleanup.policy": "rubbish"})])
    await admin.close()


async def test_a_command_gives_up_when_nobody_listens(free_port: int) -> None:
    settings = KafkaSettings(f"127.0.0.1:{free_port}", "tests")
    link = Link(settings)
    admin, writer, reader = Admin(settings, link), Writer(settings, link), LogReader(settings, link)
    for attempt in (
        admin.existing(["x"]),
        writer.start(),
        reader.assign({"x": EARLIEST}),
        read_to_end(settings, link, ["x"]),
    ):
        with pytest.raises(TransientError, match=settings.bootstrap):
            await within(attempt, 1.0, f"broker {settings.bootstrap}")
    assert not link.connected
    for client in (admin, writer, reader):
        await client.close()


async def test_closing_is_bounded_while_the_broker_is_away(
    cut_link: tuple[LinkProxy, str], name: Callable[[str], str]
) -> None:
    proxy, address = cut_link
    settings = KafkaSettings(address, "tests")
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
    settings = KafkaSettings(address, "tests", fetch_wait_ms=50)
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
    monkeypatch.setattr(log, "_STALL_S", 1.0)
    proxy, address = cut_link
    settings = KafkaSettings(address, "tests", fetch_wait_ms=50)
    link, topic = Link(settings), name("log")
    replaced = _replaced(link)
    await make_topics(settings, topic)
    reader, writer = LogReader(settings, link), Writer(settings, link)
    await reader.assign({topic: EARLIEST})
    await writer.send(topic, b"0")
    assert _numbers(await _read(reader, 1)) == [0]
    await proxy.cut(silent=True)
    async with asyncio.timeout(20):
        while replaced.empty():
            assert await reader.batch(wait_ms=200) == []
    await proxy.restore()
    await writer.send(topic, b"1")
    assert _numbers(await _read(reader, 1)) == [1]
    assert replaced.get_nowait() == "reader"
    await reader.close()
    await writer.close()


async def test_topics_without_records_beside_lively_and_paused_ones_are_not_taken_for_silent(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_STALL_S", 1.0)
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
