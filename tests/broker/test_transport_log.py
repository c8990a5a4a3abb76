"""Reading and writing topics on a real broker that is well."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from schemas.errors import LocalError
from tests.broker.conftest import delete_topics, make_topics
from tests.broker.topics import numbers, read, write
from transport import clients
from transport.admin import Admin, TopicSpec
from transport.errors import TopicMissing
from transport.reading.log import EARLIEST, LATEST, LogReader, each_to_end, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import watch
from transport.writing.writer import Writer

pytestmark = pytest.mark.broker


async def test_records_come_back_in_order_with_their_offsets(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    writer, reader = Writer(settings, link), LogReader(settings, link)
    offsets = [await writer.send(topic, b"%d" % number, b"key") for number in range(5)]
    await reader.assign({topic: EARLIEST})
    entries = await read(reader, 5)
    assert [entry.offset for entry in entries] == offsets == list(range(5))
    assert numbers(entries) == [0, 1, 2, 3, 4]
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
    await write(settings, link, topic, b"0", b"1", b"2")
    reader = LogReader(settings, link)
    await reader.assign({topic: 1})
    assert numbers(await read(reader, 2)) == [1, 2]
    await reader.assign({topic: LATEST})
    assert reader.positions() == {topic: 3}
    await write(settings, link, topic, b"3")
    assert numbers(await read(reader, 1)) == [3]
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
    await write(settings, link, topic, *(bytes(500_000) for _ in range(40)))
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
        await write(settings, link, topic, b"0")
    monkeypatch.setattr(clients, "RETRY_MS", 60_000)
    reader = LogReader(settings, link)
    await reader.assign({first: EARLIEST})
    async with asyncio.timeout(30):
        assert await reader.ends(others) == dict.fromkeys(others, 1)
    await reader.close()


async def test_paused_topics_keep_their_place(settings: KafkaSettings, link: Link, name: Callable[[str], str]) -> None:
    one, two = name("one"), name("two")
    await make_topics(settings, one, two)
    await write(settings, link, one, *(b"%d" % number for number in range(40)))
    reader = LogReader(settings, link)
    await reader.assign({one: EARLIEST, two: EARLIEST})
    reader.pause(one)
    await write(settings, link, two, b"7")
    assert numbers(await read(reader, 1)) == [7]
    assert await reader.batch(wait_ms=300) == []
    assert reader.positions()[one] == 0
    reader.resume(one)
    assert numbers(await read(reader, 40)) == list(range(40))
    await reader.close()


async def test_of_what_was_fetched_meanwhile_the_topic_named_first_is_delivered_first(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    signed, keys = name("a-signed"), name("b-keys")
    await make_topics(settings, signed, keys)
    await write(settings, link, signed, b"1", b"2")
    await write(settings, link, keys, b"0")
    reader = LogReader(settings, link)
    await reader.assign({keys: EARLIEST, signed: EARLIEST})
    reader.pause(keys, signed)
    async with asyncio.timeout(30):
        while not all(reader._held._fetched.values()):
            assert await reader.batch(wait_ms=50) == []
    reader.resume(keys, signed)
    assert numbers(await reader.batch()) == [0, 1, 2]
    await reader.close()


async def test_records_that_are_gone_are_counted_and_reading_goes_on(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("log")
    await make_topics(settings, topic)
    await write(settings, link, topic, *(b"%d" % number for number in range(10)))
    admin = Admin(settings, link)
    await admin.trim(topic, 6)
    await admin.trim(topic, 6)
    reader = LogReader(settings, link)
    await reader.assign({topic: 2})
    assert numbers(await read(reader, 4)) == [6, 7, 8, 9]
    assert reader.lost == {topic: 4}
    await reader.close()
    await admin.close()


async def test_everything_on_empty_full_and_trimmed_topics_is_read_to_the_end(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    empty, full, trimmed = name("empty"), name("full"), name("trimmed")
    await make_topics(settings, empty, full, trimmed)
    await write(settings, link, full, *(b"%d" % number for number in range(600)))
    await write(settings, link, trimmed, b"0", b"1")
    admin = Admin(settings, link)
    await admin.trim(trimmed, 2)
    await admin.close()
    entries = await read_to_end(settings, link, [empty, full, trimmed])
    assert [entry.topic for entry in entries] == [full] * 600
    assert numbers(entries) == list(range(600))
    assert numbers(await read_to_end(settings, link, [full], start={full: 598})) == [598, 599]


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
    entries += await read(reader, 30 - len(entries))
    assert numbers(entries) == list(range(30))
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
