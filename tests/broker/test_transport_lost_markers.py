"""A transaction that readers do not get because its markers are lost ends as its own records say, once and for all."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops.kafka import Broker
from tests.broker.access import reach
from tests.broker.conftest import make_topics
from tests.broker.lost_markers import Record, leave, unchecked
from transport.errors import CommitUnknown, LogUndecided
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import visible
from transport.writing.labels import Label
from transport.writing.transactions import TransactionalWriter
from transport.writing.visible import require_visible

pytestmark = pytest.mark.broker

Names = Callable[[str], str]


@pytest_asyncio.fixture(autouse=True)
async def lets_markers_be_lost(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(visible, "PATIENCE_S", 0.2)
    async with unchecked(reach(kafka.bootstrap, "tests")):
        yield


class Log:
    """`rounds` and `receipts`, and `elsewhere`, whose markers are never lost."""

    def __init__(self, settings: KafkaSettings, link: Link, name: Names) -> None:
        self.settings, self.link = settings, link
        self.rounds, self.receipts, self.elsewhere = (name(stem) for stem in ("rounds", "receipts", "elsewhere"))
        self.id = name("id")

    @property
    def version(self) -> list[Record]:
        """A whole transaction."""
        return [(self.rounds, b"version", None), (self.receipts, b"a", b"a"), (self.receipts, b"b", b"b")]

    async def left(self, records: list[Record], *, lost: set[str], commit: bool, count: int | None = None) -> None:
        """What a writer has left that is gone. One topic at least keeps its markers: a transaction needs one."""
        kept = [(self.elsewhere, b"kept", None)]
        label = Label.fresh((len(records) if count is None else count) + 1)
        await leave(self.settings, self.id, [*kept, *records], lost=lost, commit=commit, label=label)

    async def seen(self, topic: str) -> list[bytes]:
        return [entry.value or b"" for entry in await read_to_end(self.settings, self.link, [topic])]

    async def settled(self) -> TransactionalWriter:
        """A successor that has looked behind its fence."""
        successor = TransactionalWriter(self.settings, self.link, self.id)
        await successor.start()
        await successor.settle((self.rounds, self.receipts, self.elsewhere))
        return successor


@pytest_asyncio.fixture
async def log(settings: KafkaSettings, link: Link, name: Names) -> Log:
    one = Log(settings, link, name)
    await make_topics(settings, one.rounds, one.receipts, one.elsewhere)
    return one


async def test_a_whole_transaction_that_nobody_can_read_is_committed_by_a_successor(log: Log) -> None:
    await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    assert await log.seen(log.rounds) == []
    successor = await log.settled()
    assert await log.seen(log.rounds) == [b"version"]
    assert await log.seen(log.receipts) == [b"a", b"b"]
    await successor.write([(log.rounds, b"next", None)])
    assert await log.seen(log.rounds) == [b"version", b"next"]
    await successor.close()


async def test_one_with_a_record_missing_is_taken_back_and_never_seen(log: Log) -> None:
    await log.left(log.version[:2], lost={log.rounds, log.receipts}, commit=False, count=3)
    successor = await log.settled()
    await successor.write([(log.rounds, b"next", None), (log.receipts, b"c", b"c")])
    await require_visible(log.settings, log.link, (log.rounds, log.receipts))
    assert await log.seen(log.rounds) == [b"next"]
    assert await log.seen(log.receipts) == [b"c"]
    await successor.close()


async def test_one_that_readers_get_on_one_topic_is_committed_on_the_others(log: Log) -> None:
    await log.left(log.version, lost={log.receipts}, commit=True)
    await require_visible(log.settings, log.link, (log.rounds,))
    successor = await log.settled()
    assert await log.seen(log.receipts) == [b"a", b"b"]
    await successor.close()


async def test_one_that_was_taken_back_on_one_topic_is_taken_back_on_the_others(log: Log) -> None:
    await log.left(log.version, lost={log.receipts}, commit=False)
    successor = await log.settled()
    await successor.write([(log.receipts, b"c", b"c")])
    await require_visible(log.settings, log.link, (log.rounds, log.receipts))
    assert await log.seen(log.rounds) == []
    assert await log.seen(log.receipts) == [b"c"]
    await successor.close()


async def test_records_that_do_not_say_where_they_belong_are_for_a_person_to_decide(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Label, "to_bytes", lambda self: b"another program's")
    await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    monkeypatch.undo()
    monkeypatch.setattr(visible, "PATIENCE_S", 0.2)
    with pytest.raises(LogUndecided, match=log.rounds):
        await log.settled()


async def test_a_writer_shows_what_it_has_committed_before_it_begins_anything_that_might_be_taken_back(
    log: Log,
) -> None:
    await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    writer = TransactionalWriter(log.settings, log.link, log.id)
    await writer.start()
    for topic, offset in ((log.rounds, 0), (log.receipts, 0), (log.receipts, 1)):
        writer._visible.committed(topic, offset)  # as if it had written them itself

    async def fail() -> None:
        async with writer.transaction(1) as transaction:
            await transaction.send(log.rounds, b"taken back")
            raise AssertionError("core")

    with pytest.raises(AssertionError, match="core"):
        await fail()
    await writer.write([(log.rounds, b"next", None)])
    await require_visible(log.settings, log.link, (log.rounds, log.receipts))
    assert await log.seen(log.rounds) == [b"version", b"next"]
    assert await log.seen(log.receipts) == [b"a", b"b"]
    await writer.close()


async def test_an_idle_writer_shows_it_too(log: Log) -> None:
    await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    writer = TransactionalWriter(log.settings, log.link, log.id)
    await writer.start()
    writer._visible.committed(log.rounds, 0)
    keeping = asyncio.create_task(writer._visible.run(look_s=0.05))
    async with asyncio.timeout(20):
        while await log.seen(log.rounds) != [b"version"]:
            pass
    keeping.cancel()
    await writer.close()


async def test_who_fails_while_ending_hidden_records_does_not_know_how_they_ended(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    writer = TransactionalWriter(log.settings, log.link, log.id)
    await writer.start()
    for topic in (log.rounds, log.receipts):
        writer._visible.committed(topic, 0)

    async def dies(producer: AIOKafkaProducer) -> None:
        raise KafkaError("the broker died again")

    with monkeypatch.context() as broken:
        broken.setattr(AIOKafkaProducer, "commit_transaction", dies)
        with pytest.raises(CommitUnknown, match="hidden records"):
            await writer.write([(log.rounds, b"next", None)])
    await writer.close()
    successor = await log.settled()
    assert (await log.seen(log.rounds), await log.seen(log.receipts)) in (([], []), ([b"version"], [b"a", b"b"]))
    await successor.close()


async def test_topics_of_one_study_that_nobody_can_settle_do_not_keep_another_from_writing(
    log: Log, name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = name("other")
    await make_topics(log.settings, other)
    writer = TransactionalWriter(log.settings, log.link, log.id)
    await writer.start()
    await writer.settle((log.rounds, log.receipts))
    await writer.settle((other,))
    await writer._live.drop()
    with monkeypatch.context() as foreign:
        foreign.setattr(Label, "to_bytes", lambda self: b"another program's")
        await log.left(log.version, lost={log.rounds, log.receipts}, commit=True)
    await writer.write([(other, b"goes on", None)])
    assert await log.seen(other) == [b"goes on"]
    with pytest.raises(LogUndecided):
        await writer.write([(log.rounds, b"next", None)])
    await writer.close()
