"""A topic is missing when the broker does not tell of it for a while, not when it does not yet."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from transport.errors import TopicMissing
from transport.staying import absent as module
from transport.staying.absent import absent, forbidden


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED_AGAIN_S", (0.0, 0.0))


def told(*answers: set[str]) -> Callable[[], Awaitable[set[str]]]:
    rest = list(answers)

    async def known() -> set[str]:
        return rest.pop(0)

    return known


async def test_a_topic_that_is_told_of_at_the_last_question_is_there() -> None:
    assert await absent({"a", "b"}, told({"a"}, {"a"}, {"a", "b"})) == []


async def test_nobody_waits_for_what_is_known() -> None:
    assert await absent({"a"}, told({"a", "c"})) == []


async def test_those_that_are_never_told_of_are_named_in_order() -> None:
    assert await absent({"b", "a", "c"}, told({"c"}, set(), {"c"})) == ["a", "b"]


class Asked:
    """A client whose broker lets it see some topics."""

    def __init__(self, node: int | None = 1, error: Exception | None = None) -> None:
        self._node, self._error = node, error

    def get_random_node(self) -> int | None:
        return self._node

    async def send(self, node: int, request: MetadataRequest) -> SimpleNamespace:
        if self._error is not None:
            raise self._error
        return SimpleNamespace(topics=[(29, "closed", False, []), (3, "nowhere", False, []), (0, "open", False, [])])


async def test_what_is_not_allowed_is_told_from_what_is_not_there() -> None:
    assert await forbidden(cast(Any, Asked()), ["closed", "nowhere", "open"]) == {"closed"}
    assert await forbidden(cast(Any, Asked()), []) == frozenset()
    assert await forbidden(cast(Any, Asked(node=None)), ["closed"]) == frozenset()
    assert await forbidden(cast(Any, Asked(error=KafkaConnectionError("gone"))), ["closed"]) == frozenset()


def test_both_are_said_with_what_helps() -> None:
    error = TopicMissing({"a", "b"}, "broker:9092", forbidden={"b"})
    assert str(error) == "no topic a on broker:9092; not allowed to read b on broker:9092"
    closed = TopicMissing({"b"}, "broker:9092", wanted="write", forbidden={"b"})
    assert str(closed) == "not allowed to write b on broker:9092"
    assert "kafka-acls.sh" in closed.hint
    assert "registrar" not in closed.hint
