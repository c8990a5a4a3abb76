"""Large bodies over bad links, scaled down: they arrive whole, and a cut costs what was under way, never the start."""

from pathlib import Path

import pytest

from bench.links import BadLink, linked_broker, over
from transport.settings import SEALED_CHUNK_BYTES

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
