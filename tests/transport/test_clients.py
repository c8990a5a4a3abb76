"""Clients of aiokafka: started until the broker answers, and not beyond the end of whoever asked for one."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka.client import AIOKafkaClient

from transport.clients import started
from transport.link import Link
from transport.settings import KafkaSettings


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

    async def close(self) -> None:
        self.closed = True


async def test_who_is_told_to_end_while_a_client_starts_ends_and_leaves_no_client_behind() -> None:
    made: list[AnswersWhenItIsTooLate] = []

    def make() -> AIOKafkaClient:
        made.append(AnswersWhenItIsTooLate(asking))
        return cast(AIOKafkaClient, made[-1])

    asking = asyncio.create_task(started(make, Link(KafkaSettings("127.0.0.1:1", "test"))))
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [client.closed for client in made] == [True]
