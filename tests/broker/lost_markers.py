"""Transactions whose markers are lost on some topics, as when a broker dies between a commit and its markers.

The transaction's coordinator is never told of those topics, so it writes no markers there; a broker lets that pass only
while it does not check whether a transaction knows a topic that it is written to.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from transport.clients import end, new_admin, new_producer, started
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.labels import HEADER, Label

Record = tuple[str, bytes, bytes | None]
_NODE = "1"


@asynccontextmanager
async def unchecked(settings: KafkaSettings) -> AsyncIterator[None]:
    """Let the broker take records of transactions that do not know their topic."""
    admin = await started(lambda: new_admin(settings), Link(settings))

    async def check(on: str) -> None:
        words = {"transaction.partition.verification.enable": on}
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, _NODE, words)])

    await check("false")
    try:
        yield
    finally:
        await check("true")
        await end(admin)


@contextmanager
def losing(*lost: str, kept: str) -> Iterator[asyncio.Event]:
    """Every transaction of this process loses its markers on `lost`, not those on `kept`; set once one is over."""
    over = asyncio.Event()
    begin, commit = AIOKafkaProducer.begin_transaction, AIOKafkaProducer.commit_transaction

    async def hiding(producer: AIOKafkaProducer) -> None:
        await begin(producer)
        _hide(producer, lost)
        producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(kept, 0))

    async def telling(producer: AIOKafkaProducer) -> None:
        await commit(producer)
        over.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AIOKafkaProducer, "begin_transaction", hiding)
        patch.setattr(AIOKafkaProducer, "commit_transaction", telling)
        yield over


async def leave(
    settings: KafkaSettings,
    transactional_id: str,
    records: Sequence[Record],
    *,
    lost: Collection[str],
    commit: bool,
    label: Label,
) -> None:
    """Write records under this id, commit them or not, and be gone.

    lost     topics that get no markers, whatever becomes of the transaction
    label    of all of them: how many records it was meant to have
    """
    producer = await started(lambda: new_producer(settings, transactional_id=transactional_id), Link(settings))
    try:
        await producer.begin_transaction()
        _hide(producer, lost)
        for topic, value, key in records:
            sent = await producer.send(topic, value, key, partition=0, headers=[(HEADER, label.to_bytes())])
            await sent
        if commit:
            await producer.commit_transaction()
    finally:
        await end(producer)


def _hide(producer: AIOKafkaProducer, lost: Collection[str]) -> None:
    for topic in lost:
        producer._txn_manager._txn_partitions.add(TopicPartition(topic, 0))
