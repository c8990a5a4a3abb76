"""What makes no progress though it should is replaced, and the patience with it grows while that does not help."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import watch
from transport.writing.watch import Heads, watch_producer

SETTINGS = KafkaSettings("127.0.0.1:1", "tests")


def test_a_partition_whose_oldest_batch_stays_is_noticed_beside_one_that_gets_on() -> None:
    heads, stuck = Heads(), object()
    assert heads.oldest_s({"a": stuck, "b": object()}, 0.0) == 0
    assert heads.oldest_s({"a": stuck, "b": object()}, 20.0) == 20
    assert heads.oldest_s({"a": object(), "b": object()}, 40.0) == 0
    assert heads.oldest_s({}, 60.0) == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_the_wait_is_as_long_as_the_same_batch_was_at_the_head(batches: list[int]) -> None:
    heads, objects = Heads(), [object() for _ in range(4)]
    for now, batch in enumerate(batches):
        same = next(back for back in range(now + 1) if now - back == 0 or batches[now - back - 1] != batch)
        assert heads.oldest_s({"a": objects[batch]}, float(now)) == same


def test_patience_doubles_with_each_replacement_up_to_a_requests_time_and_progress_resets_it() -> None:
    kinds: list[str] = []
    link = Link(SETTINGS)
    link.on_rebuild(kinds.append)
    waits = []
    for _ in range(4):
        waits.append(link.stall_s("producer", 30.0))
        link.rebuilt("producer", "nothing acknowledged")
    assert waits == [30, 60, 120, 120]
    assert kinds == ["producer"] * 4
    assert link.stall_s("reader", 30.0) == 30
    link.got_on("producer")
    assert link.stall_s("producer", 30.0) == 30


class StuckProducer:
    """What the watch looks at, of a producer that never gets an answer."""

    def __init__(self) -> None:
        self._message_accumulator = self
        self._batches: dict[str, list[object]] = {"topic": [object()]}
        self._pending_batches: set[Any] = set()


@pytest.mark.parametrize("connected", [True, False], ids=["others are answered", "the broker is away"])
async def test_a_stuck_producer_is_given_up_only_while_the_broker_answers_others(
    monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    link, given_up = Link(SETTINGS), asyncio.Event()
    link.connected = connected

    async def give_up() -> None:
        given_up.set()

    watching = asyncio.create_task(watch_producer(StuckProducer(), link, lambda: 0.05, give_up))
    done, _ = await asyncio.wait({watching}, timeout=0.5)
    assert bool(done) == given_up.is_set() == connected
    watching.cancel()
