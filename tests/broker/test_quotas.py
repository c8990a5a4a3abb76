"""Client quotas of the cluster: whoever is slowed down is slow, says so, and goes on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.kafka import Broker
from tests.broker.access import reach
from tests.broker.conftest import make_topics
from tests.broker.coordinators import coordinators
from tests.broker.federation import federation
from tests.broker.participants import hospital, large, late_site, plan
from tests.broker.quotas import set_quotas
from transport.bodies import BodyReader, BodyWriter
from transport.reading.log import EARLIEST, LogReader
from transport.staying.link import Link
from transport.writing.transactions import TransactionalWriter

pytestmark = pytest.mark.broker
PARAMETERS = 200_000  # bodies of 0.8 MB
QUOTAS = {"consumer_byte_rate": 150_000.0, "producer_byte_rate": 150_000.0, "request_percentage": 3.0}


async def test_bodies_that_are_larger_than_a_quota_lets_through_come_whole_and_late(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    topic, settings = name("bodies"), reach(mortal_kafka.bootstrap, "slow")
    link, waits = Link(settings), list[tuple[str, float]]()
    link.on_throttle(lambda kind, wait_s: waits.append((kind, wait_s)))
    await make_topics(settings, topic)
    await set_quotas(mortal_kafka.bootstrap, {"consumer_byte_rate": 250_000.0, "producer_byte_rate": 250_000.0})
    writer, reader = BodyWriter(settings, link), BodyReader(settings, link)
    began_s = time.monotonic()
    with capture_logs() as lines:
        runs = await writer.upload(topic, 8, lambda index: bytes([index]) * 500_000)
        chunks = [chunk async for chunk in reader.chunks(topic, runs)]
    assert chunks == [bytes([index]) * 500_000 for index in range(8)]
    assert {kind for kind, _ in waits} == {"fetch", "produce"}
    assert sum(wait_s for _, wait_s in waits) > 1
    assert time.monotonic() - began_s > 1
    assert sorted(line["request"] for line in lines if "quota" in line["event"]) == ["fetch", "produce"]  # not one each
    assert not [line for line in lines if "quota" not in line["event"]]
    assert link.connected
    await asyncio.gather(writer.close(), reader.close())


async def test_a_reader_and_a_writer_in_transactions_that_are_slowed_down_are_neither_replaced_nor_away(
    mortal_kafka: Broker, name: Callable[[str], str]
) -> None:
    topic, settings = name("log"), reach(mortal_kafka.bootstrap, "slow", fetch_wait_ms=50)
    link, rebuilt, connected = Link(settings), list[str](), list[bool]()
    await make_topics(settings, topic)
    await set_quotas(mortal_kafka.bootstrap, dict.fromkeys(QUOTAS, 15_000.0) | {"request_percentage": 2.0})
    writer, reader = TransactionalWriter(settings, link, f"id.{topic}"), LogReader(settings, link)
    await writer.start()
    await reader.assign({topic: EARLIEST})
    link.on_rebuild(rebuilt.append)
    link.on_change(connected.append)
    for number in range(4):
        await writer.write([(topic, bytes([number]) * 60_000, None)])
    values: list[bytes | None] = []
    while len(values) < 4:
        values += [entry.value for entry in await reader.batch()]
    assert values == [bytes([number]) * 60_000 for number in range(4)]
    assert (rebuilt, connected) == ([], [True])
    await asyncio.gather(writer.close(), reader.close())


async def test_a_federation_under_quotas_makes_versions_and_says_that_it_is_slowed_down(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    async with (
        federation(mortal_kafka.bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed,
        coordinators(fed, "first", "second") as both,
    ):
        with hospital(fed, late_site(fed).name) as at:
            for one in both:
                one.start()
            await fed.version(0)
            slowed = ("coordinator", *fed.sites)
            await set_quotas(mortal_kafka.bootstrap, QUOTAS, *slowed)
            at.go()
            at.start()
            await fed.version(2)
            assert [one.child.poll() for one in both if one.child is not None] == [None, None]
            assert at.process is not None
            assert at.process.poll() is None
            assert "slowed down by a quota" in at.log
            assert any(one.said("slowed down by a quota") for one in both)
            waited_s = [await one.metric("wardround_coordinator_throttled_seconds_total") for one in both]
            assert max(seconds or 0 for seconds in waited_s) > 0
            await set_quotas(mortal_kafka.bootstrap, dict.fromkeys(QUOTAS), *slowed)
            assert await at.stop() == 0
