"""Large bodies over bad links, scaled down: they arrive whole, and a cut costs what was under way, never the start."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from bench.links import BadLink, Body, linked_broker, over
from ops.kafka import Broker
from ops.kafka.ports import HOST
from ops.link_quality import Quality
from schemas import topics
from tests.broker.access import reach
from transport.admin import Admin, TopicSpec
from transport.bodies import BodyReader, BodyWriter
from transport.settings import SEALED_CHUNK_BYTES
from transport.staying.link import Link
from transport.writing.writer import Writer

pytestmark = [pytest.mark.broker]
UNDER_WAY = 2 * 9  # chunks: the window of an upload, or what a download has asked for in one fetch and the one ahead


async def test_a_body_arrives_both_ways_over_a_link_that_is_cut_again_and_again(tmp_path: Path) -> None:
    link = BadLink("often-cut", 40, 10e6, cut_s=1.0, down_s=0.3)
    async with linked_broker(tmp_path) as (broker, proxy):
        passages = await over(link, broker, proxy)
    for passage in passages:
        assert passage.cuts >= 2
        assert passage.restarts >= 1
        assert passage.resent_share * link.chunks <= passage.cuts * UNDER_WAY


async def test_a_body_arrives_both_ways_over_a_slow_link_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    link = BadLink("slow", 3, 500e3)
    async with linked_broker(tmp_path) as (broker, proxy):
        passages = await over(link, broker, proxy)
    size = link.chunks * SEALED_CHUNK_BYTES
    assert [passage.cuts for passage in passages] == [0, 0]
    assert all(passage.resent_share * size < SEALED_CHUNK_BYTES for passage in passages)


async def test_what_an_unfaithful_link_changes_is_fetched_again_where_it_would_be_held_against_its_writer(
    tmp_path: Path,
) -> None:
    async with linked_broker(tmp_path) as (broker, proxy):
        topic = await _topic(broker)
        direct, settings = reach(broker.bootstrap, "tests"), reach(f"{HOST}:{proxy.port}", "tests")
        body, writer, reader = Body(8), BodyWriter(direct, Link(direct)), BodyReader(settings, Link(settings))
        runs = await writer.upload(topic, body.count, body.chunk)
        proxy.quality = Quality(corrupt_bytes=4_000_000)
        for _ in range(50):  # until the link has changed something
            chunks = [chunk async for chunk in reader.chunks(topic, runs, checked=True)]
            assert chunks == [body.chunk(index) for index in range(body.count)]
            if proxy.flips:
                break
        await writer.close()
        await reader.close()
    assert proxy.flips > 0


async def _topic(broker: Broker) -> str:
    """A site's topic of bodies."""
    topic, settings = topics.bodies("site-1"), reach(broker.bootstrap, "tests")
    admin = Admin(settings, Link(settings))
    await admin.create_topics([TopicSpec(topic, config=topics.site_topics("site-1", size_cap_bytes=-1)[topic])])
    await admin.close()
    return topic


async def test_an_upload_that_is_given_up_while_the_link_is_cut_leaves_no_complaint(tmp_path: Path) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    async with linked_broker(tmp_path) as (broker, proxy):
        topic = await _topic(broker)
        proxy.quality = Quality(up_bytes_s=2e6)
        settings = reach(f"{HOST}:{proxy.port}", "tests")
        link, begun = Link(settings), asyncio.Event()
        writer, body = Writer(settings, link), Body(40)
        uploading = asyncio.create_task(
            BodyWriter(settings, link, writer).upload(topic, 40, body.chunk, on_acked=lambda *_: begun.set())
        )
        await begun.wait()
        await proxy.cut()
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
        await writer.close()
    gc.collect()  # an exception that nobody retrieved is reported when its task goes
    assert complaints == []
