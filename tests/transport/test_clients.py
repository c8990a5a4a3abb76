"""Clients of aiokafka: started until the broker answers, and not beyond the end of whoever asked for one."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v4
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from tests.transport.raw import batch
from transport.clients import new_consumer, started
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link


class AnswersWhenItIsTooLate:
    """A client whose start ends well in the very moment in which `asking` is cancelled."""

    def __init__(self, asking: "asyncio.Task[Any]") -> None:
        self._asking = asking
        self.closed = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        loop.call_soon(answer.set_result, None)
        loop.call_soon(self._asking.cancel)
        await answer

    async def send(self, *_: object) -> None:
        """Nothing is sent before it has started."""

    async def close(self) -> None:
        self.closed = True


async def test_who_is_told_to_end_while_a_client_starts_ends_and_leaves_no_client_behind() -> None:
    made: list[AnswersWhenItIsTooLate] = []

    def make() -> AIOKafkaClient:
        made.append(AnswersWhenItIsTooLate(asking))
        return cast(AIOKafkaClient, made[-1])

    asking = asyncio.create_task(started(make, Link(KafkaSettings("127.0.0.1:1", "test", security=PLAINTEXT))))
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [client.closed for client in made] == [True]


async def test_nothing_waits_behind_a_fetch_that_waits_for_records(monkeypatch: pytest.MonkeyPatch) -> None:
    over = {}

    async def send(_: object, __: int, request: object, group: int = ConnectionGroup.DEFAULT) -> object:
        over[type(request)] = group
        return FetchResponse_v4(0, [("t", [])])

    monkeypatch.setattr(AIOKafkaClient, "send", send)
    consumer = new_consumer(KafkaSettings("127.0.0.1:1", "test", security=PLAINTEXT), committed=True, fetch_wait_ms=10)
    for request in (FetchRequest(10, 1, 10, 0, []), MetadataRequest([]), OffsetRequest(-1, 0, [])):
        await consumer._client.send(3, request)
    assert over[MetadataRequest] == over[OffsetRequest] != over[FetchRequest]


async def test_what_a_consumer_fetches_is_sieved_before_anything_looks_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, compressed = batch(b"a"), batch(b"b", first=1, codec=4)
    damaged = bytearray(plain)
    damaged[22] ^= 1
    fetched = [plain, compressed, bytes(damaged), b"", None]

    async def send(_: object, node: int, request: object, group: int = ConnectionGroup.DEFAULT) -> object:
        if not isinstance(request, FetchRequest):
            return node
        return FetchResponse_v4(0, [("t", [(number, 0, 9, 9, [], one) for number, one in enumerate(fetched)])])

    monkeypatch.setattr(AIOKafkaClient, "send", send)
    consumer = new_consumer(KafkaSettings("127.0.0.1:1", "test", security=PLAINTEXT), committed=True, fetch_wait_ms=10)
    assert await consumer._client.send(3, MetadataRequest([])) == 3
    response = await consumer._client.send(3, FetchRequest(10, 1, 10, 0, []))
    [(topic, partitions)] = response.topics
    assert topic == "t"
    assert [one[:-1] for one in partitions] == [(number, 0, 9, 9, []) for number in range(5)]
    sieved = [one[-1] for one in partitions]
    assert sieved[0] is plain
    assert sieved[1] not in (compressed, b"")
    assert sieved[2:] == fetched[2:]  # what a link has changed is found by its checksum
