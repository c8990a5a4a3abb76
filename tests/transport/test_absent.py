"""A topic is missing when the broker does not tell of it for a while, not when it does not yet."""

from collections.abc import Awaitable, Callable

import pytest

from transport import absent as module
from transport.absent import absent


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
