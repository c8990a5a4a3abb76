"""Transactions on a real broker: all or nothing, fenced by a successor, safe when the broker is killed."""

import asyncio
import random
from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaError

from ops.kafka import Broker
from schemas.errors import LocalError
from tests.broker.access import reach
from tests.broker.conftest import make_topics
from transport.errors import Fenced, LogUndecided, TransactionAborted
from transport.reading.log import LogReader, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import transactions
from transport.writing.transactions import TransactionalWriter
from transport.writing.visible import require_visible

pytestmark = pytest.mark.broker


async def _values(
    settings: KafkaSettings, link: Link, topic: str, count: int, *, committed: bool = True
) -> list[bytes]:
    """The first `count` values or more: a commit is acknowledged a moment before readers see it."""
    async with asyncio.timeout(20):
        while True:
            entries = await read_to_end(settings, link, [topic], committed=committed)
            if len(entries) >= count:
                return [entry.value or b"deleted" for entry in entries]


async def test_records_of_a_transaction_appear_together(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    rounds, receipts = name("rounds"), name("receipts")
    await make_topics(settings, rounds, receipts)
    writer = TransactionalWriter(settings, link, name("id"))
    async with writer.transaction(3) as transaction:
        await transaction.send(rounds, b"announcement")
        await transaction.send(receipts, b"counted", b"site-a")
        await transaction.send(receipts, None, b"site-b")
        assert await _values(settings, link, rounds, 0) == []
    assert await _values(settings, link, rounds, 1) == [b"announcement"]
    assert await _values(settings, link, receipts, 2) == [b"counted", b"deleted"]
    entries = await read_to_end(settings, link, [receipts])
    assert [(entry.key, entry.value) for entry in entries] == [(b"site-a", b"counted"), (b"site-b", None)]
    await writer.close()


async def test_more_records_than_a_broker_takes_in_one_batch_are_one_transaction(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    """As when a thousand sites are given a study's key; a topic without bodies takes what Kafka does by default."""
    topic = name("keys")
    await make_topics(settings, topic, max_message_bytes="1048588")
    writer = TransactionalWriter(settings, link, name("id"))
    await writer.write([(topic, bytes(1500), b"%d" % number) for number in range(1500)])
    assert len(await _values(settings, link, topic, 1500)) == 1500
    await writer.close()


async def test_an_error_in_the_block_takes_everything_back_and_the_writer_goes_on(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("rounds")
    await make_topics(settings, topic)
    writer = TransactionalWriter(settings, link, name("id"))

    async def fail() -> None:
        async with writer.transaction(1) as transaction:
            await transaction.send(topic, b"never seen")
            raise AssertionError("core")

    for number in range(3):
        with pytest.raises(AssertionError, match="core"):
            await fail()
        await writer.write([(topic, b"%d" % number, None)])
    assert await _values(settings, link, topic, 3) == [b"0", b"1", b"2"]
    assert b"never seen" in await _values(settings, link, topic, 6, committed=False)
    await writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_wrong_topic_or_size_is_said_and_commits_nothing(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, missing = name("rounds"), name("missing")
    await make_topics(settings, topic)
    writer = TransactionalWriter(settings, link, name("id"))
    with pytest.raises(LocalError, match=missing):
        await writer.write([(topic, b"x", None), (missing, b"y", None)])
    with pytest.raises(LocalError, match="size"):
        await writer.write([(topic, bytes(3_000_000), None)])
    await writer.write([(topic, b"fine", None)])
    await writer.write([])
    assert await _values(settings, link, topic, 1) == [b"fine"]
    await writer.close()


async def test_a_successor_fences_its_predecessor_and_ends_what_it_left_open(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, identity = name("rounds"), name("id")
    await make_topics(settings, topic)
    old, new = TransactionalWriter(settings, link, identity), TransactionalWriter(settings, link, identity)
    await old.write([(topic, b"old", None)])

    async def be_overtaken() -> None:
        async with old.transaction(1) as transaction:
            await transaction.send(topic, b"left open")
            await new.start()
            await new.write([(topic, b"new", None)])

    with pytest.raises(Fenced):
        await be_overtaken()
    assert await _values(settings, link, topic, 2) == [b"old", b"new"]
    await old.close()
    await new.close()


async def test_who_was_away_fences_its_successor_and_still_writes_nothing_over_its_records(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic, other, identity = name("rounds"), name("receipts"), name("id")
    await make_topics(settings, topic, other)
    old, new = TransactionalWriter(settings, link, identity), TransactionalWriter(settings, link, identity)
    await old.start()
    old.watch({topic: 0, other: 0})
    await old.write([(topic, b"old", None)])
    await old._live.drop()  # as after a broken connection: the next transaction starts a producer, which fences
    await old.write([(topic, b"old, nobody was there meanwhile", None)])
    await old._live.drop()
    await new.start()
    await new.write([(other, b"new", None)])
    with pytest.raises(Fenced):
        await old.write([(topic, b"decided before the successor wrote", None)])
    assert await _values(settings, link, topic, 2) == [b"old", b"old, nobody was there meanwhile"]
    with pytest.raises(Fenced):
        await new.write([(other, b"it has to look, too", None)])
    await old.close()
    await new.close()


async def test_a_cancelled_transaction_is_taken_back(
    settings: KafkaSettings, link: Link, name: Callable[[str], str]
) -> None:
    topic = name("rounds")
    await make_topics(settings, topic)
    writer = TransactionalWriter(settings, link, name("id"))
    inside = asyncio.Event()

    async def hang() -> None:
        async with writer.transaction(1) as transaction:
            await transaction.send(topic, b"cancelled")
            inside.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await writer.write([(topic, b"after", None)])
    assert await _values(settings, link, topic, 1) == [b"after"]
    await writer.close()


async def test_a_lost_commit_answer_is_found_out_from_the_log(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = name("rounds")
    await make_topics(settings, topic)
    writer = TransactionalWriter(settings, link, name("id"))
    await writer.start()

    def break_commit(*, after: bool) -> None:
        producer = writer._live.now
        assert producer is not None
        commit = producer.commit_transaction

        async def broken() -> None:
            if after:
                await commit()
            raise KafkaError("the connection broke")

        monkeypatch.setattr(producer, "commit_transaction", broken)

    break_commit(after=True)
    async with writer.transaction(1) as transaction:
        await transaction.send(topic, b"committed")
    break_commit(after=False)
    with pytest.raises(TransactionAborted):
        async with writer.transaction(1) as transaction:
            await transaction.send(topic, b"not committed")
    await writer.write([(topic, b"last", None)])
    assert await _values(settings, link, topic, 2) == [b"committed", b"last"]
    await writer.close()


@pytest.mark.timeout(200)
async def test_a_broker_killed_at_any_moment_loses_and_doubles_no_transaction(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    settings = reach(mortal_kafka.bootstrap, "tests", fetch_wait_ms=50)
    link, rounds, receipts = Link(settings), name("rounds"), name("receipts")
    await make_topics(settings, rounds, receipts)
    writer, reader = TransactionalWriter(settings, link, name("id")), LogReader(settings, link)
    await reader.assign({rounds: 0, receipts: 0})
    done = asyncio.Event()

    async def fault() -> None:
        moments = random.Random(3)
        for _ in range(3):
            await asyncio.sleep(0.3 + moments.random())
            await asyncio.to_thread(mortal_kafka.kill)
            mortal_kafka.launch()
            await asyncio.to_thread(mortal_kafka.wait_ready)
        done.set()

    failing, count = asyncio.create_task(fault()), 0
    while not done.is_set() or count < 50:
        await writer.write([(rounds, b"%d" % count, None), (receipts, b"%d" % count, b"site")])
        count += 1
    await failing
    seen: dict[str, list[int]] = {rounds: [], receipts: []}
    async with asyncio.timeout(150):  # a broker that restarts beside other tests takes its time
        while min(map(len, seen.values())) < count:
            for entry in await reader.batch(wait_ms=200):
                seen[entry.topic].append(int(entry.value or b"-1"))
    assert seen == {rounds: list(range(count)), receipts: list(range(count))}
    await reader.close()
    await writer.close()


async def test_a_transaction_of_another_id_that_stays_open_holds_readers_up_but_not_the_writer(
    settings: KafkaSettings, link: Link, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "SHOW_S", 0.1)
    topic = name("rounds")
    await make_topics(settings, topic)
    hider, writer = (TransactionalWriter(settings, link, name(stem)) for stem in ("hider", "id"))
    async with hider.transaction(1) as open_transaction:
        await open_transaction.send(topic, b"open")
        await writer.write([(topic, b"1", None)])
        with pytest.raises(LogUndecided, match=topic):
            await require_visible(settings, link, [topic], patience_s=0)
        await writer.write([(topic, b"2", None)])
    await require_visible(settings, link, [topic])
    assert await _values(settings, link, topic, 3) == [b"open", b"1", b"2"]
    await asyncio.gather(hider.close(), writer.close())
