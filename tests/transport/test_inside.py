"""What is taken from inside aiokafka is still there, and means what it did: one test for each use, without a broker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import ProducerClosed, ProducerFenced
from aiokafka.producer.sender import Sender
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from transport import inside
from transport.clients import new_admin, new_client, new_consumer, new_member, new_producer
from transport.settings import PLAINTEXT, KafkaSettings

SETTINGS = KafkaSettings("127.0.0.1:1", "tests", security=PLAINTEXT)
TP = TopicPartition("topic", 0)


@pytest_asyncio.fixture
async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
    yield new_consumer(SETTINGS, committed=True, fetch_wait_ms=10)


@pytest_asyncio.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    yield new_producer(SETTINGS)


async def queue(producer: AIOKafkaProducer) -> "asyncio.Future[Any]":
    """One record waits to be sent."""
    future = await producer._message_accumulator.add_message(TP, b"key", b"value", timeout=1)
    assert future is not None
    return cast("asyncio.Future[Any]", future)


async def test_every_client_has_the_connections_that_its_requests_go_over() -> None:
    consumer = new_consumer(SETTINGS, committed=True, fetch_wait_ms=10)
    clients = [consumer, new_producer(SETTINGS), new_admin(SETTINGS), new_client(SETTINGS)]
    assert all(isinstance(inside.connections(one), AIOKafkaClient) for one in clients)


async def test_a_fetch_is_diverted_and_other_requests_are_not(
    consumer: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[object] = []

    async def send(_node: int, _request: object, **options: object) -> str:
        groups.append(options.get("group"))
        return "answer"

    monkeypatch.setattr(consumer._client, "send", send)
    inside.divert_fetches(consumer, lambda request, answer: (request.topics, answer))
    assert await consumer._client.send(0, FetchRequest(10, 1, 10, 0, [])) == ([], "answer")
    assert await consumer._client.send(0, MetadataRequest(None)) == "answer"
    assert groups == [ConnectionGroup.COORDINATION, None]


async def test_an_assigned_partition_is_stamped_and_no_other(consumer: AIOKafkaConsumer) -> None:
    inside.stamp(consumer, [TP], 5)  # nothing is assigned yet
    consumer.assign([TP])
    inside.stamp(consumer, [TP, TopicPartition("other", 0)], 5)
    assert consumer.last_poll_timestamp(TP) == 5


async def test_a_fetcher_holds_what_was_fetched_and_can_be_told_to_wait(consumer: AIOKafkaConsumer) -> None:
    fetcher = Fetcher(
        consumer._client, consumer._subscription, prefetch_backoff=0.1, fetch_max_wait_ms=10, retry_backoff_ms=10
    )
    consumer._fetcher = fetcher
    assert inside.holding(consumer) == frozenset()
    fetcher._records[TP] = cast(Any, object())
    assert inside.holding(consumer) == {TP}
    inside.fetch_once_taken(consumer, 60.0)
    assert fetcher._prefetch_backoff == 60.0
    fetcher._records.clear()
    await fetcher.close()


async def test_a_members_heartbeats_and_generations_are_heard_and_its_errors_raised() -> None:
    member = new_member(SETTINGS, group="tests", assignor=object(), session_ms=6000, heartbeat_ms=1000)
    heard: list[object] = []

    class Coordinator:
        async def _do_heartbeat(self) -> bool:
            return True

        async def _on_join_complete(self, generation: int, *_rest: object) -> None:
            heard.append(generation)

        def check_errors(self) -> None:
            raise ProducerFenced

    from aiokafka.consumer.group_coordinator import GroupCoordinator

    assert {"_do_heartbeat", "_on_join_complete", "check_errors"} <= set(dir(GroupCoordinator))
    member._coordinator = cast(Any, Coordinator())

    async def beat(sending: Any) -> bool:
        heard.append("beat")
        return bool(await sending)

    inside.hear_member(member, beat, lambda generation: heard.append(("joined", generation)))
    assert await member._coordinator._do_heartbeat()
    await member._coordinator._on_join_complete(3, "member", "protocol", b"")
    assert heard == ["beat", 3, ("joined", 3)]
    with pytest.raises(ProducerFenced):
        inside.check_member(member)


async def test_the_newest_batch_of_a_topic_ends_with_a_future(producer: AIOKafkaProducer) -> None:
    assert inside.newest_batch_end(producer, "topic") is None
    await queue(producer)
    end = inside.newest_batch_end(producer, "topic")
    assert isinstance(end, asyncio.Future)
    assert not end.done()


async def test_the_oldest_batch_of_a_partition_is_the_one_that_waits_longest(producer: AIOKafkaProducer) -> None:
    assert inside.oldest_batches(producer) == {}
    await queue(producer)
    (batch,) = inside.oldest_batches(producer).values()
    await queue(producer)
    assert inside.oldest_batches(producer) == {TP: batch}


async def test_all_that_a_producer_holds_is_given_up(producer: AIOKafkaProducer) -> None:
    acknowledged = await queue(producer)
    ended: list[object] = []
    sender = producer._sender
    sender._sender_task = asyncio.create_task(asyncio.sleep(60))
    sender._sender_task.add_done_callback(sender._fail_all)
    task = inside.fail_all(producer, ended.append)
    assert task is sender.sender_task
    with pytest.raises(ProducerClosed):
        await acknowledged
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert ended == [task]
    assert isinstance(sender, Sender)


async def test_the_end_of_a_transaction_can_be_waited_for_and_a_dead_one_is_told(producer: AIOKafkaProducer) -> None:
    assert inside.transaction_end(producer) is None
    producer = new_producer(SETTINGS, transactional_id="tests")
    producer._closed = False
    producer._txn_manager.set_pid_and_epoch(7, 0)
    assert inside.transaction_end(producer) is None
    assert not inside.is_fatal(producer)
    await producer.begin_transaction()
    assert isinstance(inside.transaction_end(producer), asyncio.Future)
    inside.add_to_transaction(producer, "topic")
    assert producer._txn_manager.partitions_to_add() == {TP}
    producer._txn_manager.fatal_error(ProducerFenced())
    assert inside.is_fatal(producer)


async def test_an_admin_knows_the_brokers_of_its_cluster() -> None:
    assert inside.nodes_of(new_admin(SETTINGS)) == []


async def test_a_broker_is_asked_for_all_its_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []

    class Answer:
        def to_object(self) -> dict[str, object]:
            return {"topics": [{"topic": "a"}, {"topic": "b"}]}

    async def send_request(_: object, request: object, node: object) -> Answer:
        asked.append((type(request), node))
        return Answer()

    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", send_request)
    assert await inside.topics_at(new_admin(SETTINGS), 3) == {"a", "b"}
    assert asked == [(MetadataRequest, 3)]
