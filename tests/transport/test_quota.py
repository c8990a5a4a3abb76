"""A client waits as its broker asks it to; the link says so once in a while and is not away."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import EndTxnRequest
from structlog.testing import capture_logs

from tests.transport.test_link import Clock
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.staying.quota import heed_quotas, kind_of

SETTINGS = KafkaSettings("127.0.0.1:1", "test")
FETCH = FetchRequest(1, 1, 1, 0, [])


class Slow:
    """A client whose broker asks to wait after each of the given answers, in milliseconds; others say nothing of it."""

    def __init__(self, *waits_ms: int | None) -> None:
        self.waits_ms = list(waits_ms)
        self.sent: list[tuple[float, str]] = []

    async def send(self, node: int, request: Any, **options: Any) -> SimpleNamespace:
        self.sent.append((asyncio.get_running_loop().time(), kind_of(request)))
        wait_ms = self.waits_ms.pop(0) if self.waits_ms else None
        return SimpleNamespace() if wait_ms is None else SimpleNamespace(throttle_time_ms=wait_ms)


async def test_the_next_request_of_the_kind_waits_and_no_other() -> None:
    client, link = Slow(80, 0, 0), Link(SETTINGS)
    heed_quotas(cast(Any, client), link)
    for request in (FETCH, MetadataRequest([]), FETCH, FETCH):
        await client.send(1, request)
    (first_s, _), (other_s, kind), (second_s, _), (third_s, _) = client.sent
    assert kind == "metadata"
    assert other_s - first_s < 0.08 <= second_s - first_s + 0.001
    assert third_s - second_s < 0.08
    assert link.connected


async def test_another_broker_need_not_wait_and_who_is_told_to_end_does_not_wait_either() -> None:
    client = Slow(60_000)
    heed_quotas(cast(Any, client), Link(SETTINGS))
    await client.send(1, FETCH)
    await client.send(2, FETCH)
    waiting = asyncio.create_task(client.send(1, FETCH))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()
    assert len(client.sent) == 2


def test_a_kind_is_named_as_metrics_name_things() -> None:
    end = EndTxnRequest(transactional_id="", producer_id=1, producer_epoch=1, transaction_result=True)
    assert [kind_of(one) for one in (FETCH, end)] == ["fetch", "end_txn"]


def test_waits_are_counted_each_and_said_once_in_thirty_seconds() -> None:
    clock, counted = Clock(), list[tuple[str, float]]()
    link = Link(SETTINGS, clock=clock)
    link.on_throttle(lambda kind, wait_s: counted.append((kind, wait_s)))
    with capture_logs() as lines:
        for _ in range(40):
            link.throttled("produce", 0.5)
            clock.now_s += 1
    assert counted == [("produce", 0.5)] * 40
    assert [(line["log_level"], line["request"], line["waits_s"]) for line in lines] == [
        ("warning", "produce", 0.5), ("warning", "produce", 15.0),
    ]  # fmt: skip
    assert "producer_byte_rate" in lines[0]["hint"]
    assert link.throttled_until_s("produce") == 139.5
    assert link.throttled_until_s("fetch") == float("-inf")
    assert link.connected
