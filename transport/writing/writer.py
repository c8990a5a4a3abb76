"""Sends records and waits until the broker has them, for ever, over broken links and restarted brokers.

Knows:    one policy for producer errors: refused for good -> LocalError; else a fresh producer, sent again.
Never:    gives up by itself; a duplicate after an ambiguous failure is possible, and readers recognise it.
"""

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from transport.clients import end, hear_drains, new_producer, of_no_interest, refused, started
from transport.errors import TopicMissing
from transport.settings import KafkaSettings
from transport.staying.absent import absent, forbidden
from transport.staying.link import Link


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """One record handed to one producer; `Writer.settle` tells what became of it."""

    producer: AIOKafkaProducer
    acknowledged: "asyncio.Future[RecordMetadata]"
    topic: str


class Writer:
    """One idempotent producer for partition 0 of any topic; safe to share between tasks."""

    def __init__(self, settings: KafkaSettings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Connect; waits for the broker for ever."""
        await self._live_producer()

    async def send(self, topic: str, value: bytes | memoryview, key: bytes | None = None) -> int:
        """Return the record's offset once it is acknowledged.

        Raises TopicMissing, and LocalError when access is refused or the record too large.
        """
        while True:
            offset = await self.settle(await self.post(topic, value, key))
            if offset is not None:
                return offset

    async def post(self, topic: str, value: bytes | memoryview, key: bytes | None = None) -> Ticket:
        """Hand a record over without waiting for its acknowledgement; waits only for room in the batch before it."""
        while True:
            producer = await self._live_producer()
            try:
                if not producer.client.cluster.partitions_for_topic(topic):
                    await check_topic(producer.client, topic, self._settings.bootstrap)
                acknowledged = await producer.send(topic, value, key, partition=0)
                hear_drains(producer, topic)
                acknowledged.add_done_callback(of_no_interest)  # of an upload that ends with an error some are left
                return Ticket(producer, acknowledged, topic)
            except (KafkaError, OSError) as error:
                await self._failed(producer, error, topic)

    async def settle(self, ticket: Ticket) -> int | None:
        """The offset of a posted record, or None when it has to be posted again."""
        try:
            metadata = await ticket.acknowledged
        except (KafkaError, OSError) as error:
            await self._failed(ticket.producer, error, ticket.topic)
            return None
        self._link.up()
        return int(metadata.offset) if metadata.offset >= 0 else None  # stored before, but the broker forgot where

    async def close(self) -> None:
        """Flush what the broker still takes; bounded."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await end(producer)

    async def _live_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await started(lambda: new_producer(self._settings), self._link)
            return self._producer

    async def _failed(self, producer: AIOKafkaProducer, error: BaseException, topic: str) -> None:
        """Drop a producer after its first failure; those who waited on it come here too and find it gone already."""
        final = refused(error, topic)
        if final is not None:
            raise final from error
        if producer is self._producer:
            self._producer = None
            self._link.down(error)
            await end(producer)
            await self._link.backoff()


async def check_topic(client: AIOKafkaClient, topic: str, bootstrap: str) -> None:
    """Raise TopicMissing when the topic does not exist; aiokafka would wait two minutes for it."""

    async def known() -> set[str]:
        return set((await client.fetch_all_metadata()).topics())

    if await absent({topic}, known):
        raise TopicMissing([topic], bootstrap, wanted="write", forbidden=await forbidden(client, [topic]))
