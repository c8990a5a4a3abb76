"""What is taken from inside aiokafka 0.14, where it offers no other way; a test of each fails when that has changed.

Never:    used outside of transport; an attribute of aiokafka that begins with `_` stands in no other file.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

Send = Callable[..., Awaitable[Any]]


def connections(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient | AIOKafkaClient) -> AIOKafkaClient:
    """What a client sends its requests with."""
    if isinstance(client, AIOKafkaProducer):
        return client.client
    return client._client if isinstance(client, AIOKafkaConsumer | AIOKafkaAdminClient) else client


def context_of(client: AIOKafkaClient) -> ssl.SSLContext | None:
    """What a client opens its connections with; None without TLS."""
    context: ssl.SSLContext | None = client._ssl_context
    return context


# -- consumers


def divert_fetches(consumer: AIOKafkaConsumer, arrived: Callable[[FetchRequest, Any], Any]) -> None:
    """Fetches go over a connection of their own; their parser gets what `arrived` makes of request and answer."""
    send: Send = consumer._client.send

    async def sent(node: Any, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node, request, **options)
        return arrived(request, await send(node, request, group=ConnectionGroup.COORDINATION))

    consumer._client.send = sent


def stamp(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition], at_ms: int) -> None:
    """Note on assigned partitions that they were answered: see `last_poll_timestamp`."""
    subscription = consumer._subscription.subscription
    assignment = subscription.assignment if subscription is not None else None
    if assignment is None:
        return
    for tp in tps:
        if tp in assignment.tps:
            assignment.state_value(tp).timestamp = at_ms


def holding(consumer: AIOKafkaConsumer) -> frozenset[TopicPartition]:
    """Partitions whose records were fetched and wait to be taken: nothing is asked of them meanwhile."""
    return frozenset(consumer._fetcher._records)


def fetch_once_taken(consumer: AIOKafkaConsumer, pause_s: float) -> None:
    """Ask for nothing while records wait to be taken, for so long."""
    consumer._fetcher._prefetch_backoff = pause_s


def hear_member(
    consumer: AIOKafkaConsumer, beat: Callable[[Awaitable[bool]], Awaitable[bool]], joined: Callable[[int], None]
) -> None:
    """Be there when a member's heartbeat is sent and answered, and when it is given partitions in a generation.

    Its own listener would have to be waited for before anything is given out; here nobody is.
    """
    coordinator = consumer._coordinator
    send_beat, complete = coordinator._do_heartbeat, coordinator._on_join_complete

    async def do_heartbeat() -> bool:
        return await beat(send_beat())

    async def on_join_complete(generation: int, *rest: Any) -> None:
        await complete(generation, *rest)
        joined(generation)

    coordinator._do_heartbeat, coordinator._on_join_complete = do_heartbeat, on_join_complete


def check_member(consumer: AIOKafkaConsumer) -> None:
    """Raises what has ended the member's own tasks."""
    consumer._coordinator.check_errors()


# -- producers


def newest_batch_end(producer: AIOKafkaProducer, topic: str) -> "asyncio.Future[Any] | None":
    """The future of the newest batch for partition 0, which ends when it leaves its queue."""
    batches = producer._message_accumulator._batches.get(TopicPartition(topic, 0))
    return batches[-1]._drain_waiter if batches else None


def oldest_batches(producer: AIOKafkaProducer) -> dict[object, object]:
    """The oldest unacknowledged batch of each partition: the one on its way, else the next to go."""
    accumulator = producer._message_accumulator
    heads: dict[object, object] = {tp: batches[0] for tp, batches in accumulator._batches.items() if batches}
    heads.update({batch.tp: batch for batch in accumulator._pending_batches})
    return heads


def fail_all(producer: AIOKafkaProducer, ended: Callable[["asyncio.Future[Any]"], None]) -> "asyncio.Task[Any] | None":
    """Give up all that a producer still holds; returns its sender, to be cancelled. `ended` hears of its end."""
    accumulator, sender = producer._message_accumulator, producer._sender
    if sender.sender_task is not None:
        # aiokafka's own callback does what is done here, and trips over a producer without transactions.
        sender.sender_task.remove_done_callback(sender._fail_all)
        sender.sender_task.add_done_callback(ended)
    queued = [batch for queue in accumulator._batches.values() for batch in queue]
    batches = queued + list(accumulator._pending_batches)
    # The end of a batch that was sent before takes it out of those on their way, where one that waits to be sent again
    # is not; aiokafka would trip over that as well.
    accumulator._pending_batches.update(batch for batch in queued if batch.retry_count)
    accumulator.fail_all(errors.ProducerClosed())
    for batch in batches:
        for future in (batch.future, batch._drain_waiter, *(future for future, _ in batch._msg_futures)):
            if future.done() and not future.cancelled():
                future.exception()  # nobody waits for it; asyncio would report it as never retrieved
    task: asyncio.Task[Any] | None = sender.sender_task
    return task


def transaction_end(producer: AIOKafkaProducer) -> "asyncio.Future[Any] | None":
    """What waits for the end of the transaction; None without one, and for a producer without transactions."""
    manager = producer._txn_manager
    return manager._transaction_waiter if manager is not None else None


def is_fatal(producer: AIOKafkaProducer) -> bool:
    """Whether a transactional producer is of no use any more."""
    return bool(producer._txn_manager.is_fatal_error())


def add_to_transaction(producer: AIOKafkaProducer, topic: str) -> None:
    """Have the open transaction mark this topic although nothing is written there."""
    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, 0))


# -- administration


def nodes_of(client: AIOKafkaAdminClient) -> list[int]:
    """The brokers of the cluster, as this client knows them."""
    return [broker.nodeId for broker in client._client.cluster.brokers()]


async def topics_at(client: AIOKafkaAdminClient, node: int) -> set[str]:
    """What one broker of the cluster knows. Raises KafkaError, OSError."""
    metadata = await client._send_request(MetadataRequest(None), node)
    return {topic["topic"] for topic in metadata.to_object()["topics"]}


async def to_controller(client: AIOKafkaAdminClient, request: Any) -> Any:
    """A request that the cluster's controller answers. Raises KafkaError, OSError."""
    return await client._send_to_controller(request)


async def to_any(client: AIOKafkaClient, request: Any, node: int | None = None) -> Any:
    """A request that any broker answers, or the one that is named. Raises KafkaError, OSError."""
    at = client.get_random_node() if node is None else node
    if at is None:
        raise errors.NodeNotReadyError("no broker of the cluster is known")
    return await client.send(at, request)
