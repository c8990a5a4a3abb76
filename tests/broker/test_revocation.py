"""What a revoked member still gets of the broker, and that its keys open none of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from ops.kafka import Broker
from protocol.sealing import open_epoch_box, open_epoch_key
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import PeerError
from schemas.records import Announcement, Request, Signed, kind_of
from tests.broker.federation import Federation, federation, small_plan
from tests.broker.test_coordinator import unit
from transport.settings import KafkaSettings

pytestmark = pytest.mark.broker
PARKED_MS = 20_000


def announced_in(fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Announcement]:
    payloads = [Signed.from_bytes(record.value).payload for records in fetched.values() for record in records]
    return [Announcement.from_bytes(one) for one in payloads if kind_of(one) == Announcement.KIND]


async def read_on(consumer: AIOKafkaConsumer, got: list[Announcement]) -> None:
    """Until the broker refuses it, or twice the time that a fetch may wait has passed."""
    for _ in range(2 * PARKED_MS // 200):
        got += announced_in(await consumer.getmany(timeout_ms=200))


@asynccontextmanager
async def parked(fed: Federation, name: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member's consumer whose fetch waits at the broker for the next record, for as long as the client wants."""
    settings = KafkaSettings(fed.bootstrap, name, tls=fed.folder / f"{name}.tls")
    consumer = AIOKafkaConsumer(**settings.how, fetch_max_wait_ms=PARKED_MS, isolation_level="read_uncommitted")
    await consumer.start()
    try:
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        await consumer.seek_to_end(tp)
        fetching = asyncio.create_task(consumer.getone())
        await asyncio.sleep(1.0)  # the fetch has to lie at the broker; nothing tells a client when it does
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        yield consumer
    finally:
        await consumer.stop()


async def test_a_fetch_that_was_parked_before_the_revocation_brings_nothing_that_its_keys_open(
    kafka: Broker, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    plan = small_plan("revoked-parked", sites=3, aggregation={"goal": 2, "minimum": 2})
    async with federation(kafka.bootstrap, tmp_path, plan, 3) as fed, fed.coordinator():
        out, *others = fed.sites.values()
        base = await fed.version(0)
        before = [record for record in await fed.epoch_keys() if record.member == out.name]
        await out.offer(base, unit(0))  # finished before: it is undecided when its site is revoked
        async with parked(fed, out.name, topics.rounds(fed.study)) as consumer:
            async with Registrar(fed.kafka, fed.registrar) as office:
                await office.revoke(out.name)
            revoked_s, got = time.monotonic(), list[Announcement]()
            for site in others:
                await site.offer(base, unit(1))
            with pytest.raises(TopicAuthorizationFailedError):
                await read_on(consumer, got)
            record_property("seconds until the broker refused it", round(time.monotonic() - revoked_s, 3))
            newest = await fed.version(1)
        keys = [open_epoch_key(out.opening, record) for record in before]
        for announced in [*got, newest]:
            for key in keys:
                with pytest.raises(PeerError, match=r"no box is sealed under|does not open"):
                    open_epoch_box(key, announced.model.body.boxes)
        assert not [one for one in await fed.epoch_keys() if one.member == out.name and one.epoch == newest.key_epoch]
        requests = [record for record in await fed.rounds() if isinstance(record, Request)]
        assert out.name not in {entry.site for request in requests for entry in request.entries}
