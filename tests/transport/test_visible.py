"""What was committed and cannot be read is noticed, and only then released."""

import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from transport.errors import LogUndecided, TopicMissing
from transport.reading.log import Entry, LogReader
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing import visible
from transport.writing.labels import HEADER, Label
from transport.writing.visible import VisibleWatch, read_around, require_visible

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")


class Broker:
    """Where topics end, for everybody and for committed readers; `asked` once for each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all, self.visible = {"rounds": 7}, {"rounds": 7}
        self.asked = asyncio.Semaphore(0)
        monkeypatch.setattr(visible, "ends_of", self.ends_of)
        monkeypatch.setattr(LogReader, "ends", lambda reader, topics: self.ends_of(SETTINGS, Link(SETTINGS), topics))

    async def ends_of(
        self, settings: KafkaSettings, link: Link, topics: Iterable[str], *, committed: bool = True
    ) -> dict[str, int]:
        self.asked.release()
        ends = self.visible if committed else self.all
        return {topic: ends[topic] for topic in topics}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


async def looked(watch: VisibleWatch, times: int, broker: Broker) -> None:
    """Let it look so many times; it has to have asked by then."""
    task = asyncio.create_task(watch.run(look_s=0))
    for _ in range(times):
        await broker.asked.acquire()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("strangers", [0, 1, 40, 1000])
async def test_what_belongs_to_a_hidden_record_is_found_behind_whatever_others_wrote(
    monkeypatch: pytest.MonkeyPatch, strangers: int
) -> None:
    label = ((HEADER, Label.fresh(2).to_bytes()),)
    shown = [Entry("rounds", offset, 0, None, b"older", label) for offset in range(50)]
    shown += [Entry("rounds", 50, 0, None, b"mine", label)]
    shown += [Entry("rounds", 51 + number, 0, None, b"x") for number in range(strangers)]
    hidden, read = [Entry("receipts", 0, 0, None, b"mine", label)], 0

    async def ends(*_: object, **__: object) -> dict[str, int]:
        return {"rounds": len(shown), "receipts": 0}

    async def read_to_end(*_: object, start: dict[str, int], committed: bool = True) -> list[Entry]:
        nonlocal read
        found = shown[start["rounds"] :] if committed else hidden
        read += len(found)
        return found

    monkeypatch.setattr(visible, "ends_of", ends)
    monkeypatch.setattr(visible, "read_to_end", read_to_end)
    found = await read_around(SETTINGS, Link(SETTINGS), ["rounds", "receipts"])
    assert found[0] == hidden
    assert [entry for entry in found[1] if entry.value == b"mine"] == [shown[50]]
    assert read < 8 * (strangers + 4)


async def test_what_stays_hidden_is_released(broker: Broker) -> None:
    released: list[list[str]] = []

    async def release(topics: list[str]) -> None:
        released.append(topics)
        broker.visible["rounds"] = 8

    watch = VisibleWatch(SETTINGS, Link(SETTINGS), release)
    watch.committed("rounds", 7)
    await looked(watch, 3, broker)
    assert released == [["rounds"]]


async def test_what_is_visible_a_moment_later_is_left_alone(broker: Broker) -> None:
    async def release(topics: list[str]) -> None:
        raise AssertionError(topics)

    watch = VisibleWatch(SETTINGS, Link(SETTINGS), release)
    watch.committed("rounds", 7)
    await looked(watch, 1, broker)
    broker.visible["rounds"] = 8
    await looked(watch, 1, broker)
    watch.committed("rounds", 8)
    await looked(watch, 1, broker)  # hidden once, and no later than any other


async def test_what_another_transaction_holds_up_is_left_to_that_one(broker: Broker) -> None:
    async def release(topics: list[str]) -> None:
        raise AssertionError(topics)

    watch = VisibleWatch(SETTINGS, Link(SETTINGS), release)
    broker.visible["rounds"] = 5  # where the other one began
    watch.committed("rounds", 7)
    assert await watch.hidden() == {}
    await looked(watch, 3, broker)
    broker.visible["rounds"] = 7
    assert await watch.hidden() == {"rounds": 7}


async def test_a_topic_that_is_gone_hides_nothing_of_the_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def release(topics: list[str]) -> None:
        raise AssertionError(topics)

    async def ends(reader: LogReader, topics: Iterable[str]) -> dict[str, int]:
        if "gone" in topics:
            raise TopicMissing(["gone"], "127.0.0.1:9092")
        return dict.fromkeys(topics, 7)

    monkeypatch.setattr(LogReader, "ends", ends)
    watch = VisibleWatch(SETTINGS, Link(SETTINGS), release)
    watch.committed("gone", 3)
    watch.committed("rounds", 7)
    assert await watch.hidden() == {"rounds": 7}


async def test_records_that_nobody_can_read_are_no_ground_to_decide_on(broker: Broker) -> None:
    broker.all["rounds"] = 9
    with pytest.raises(LogUndecided, match="rounds"):
        await require_visible(SETTINGS, Link(SETTINGS), ["rounds"], patience_s=0)
    broker.visible["rounds"] = 9
    await require_visible(SETTINGS, Link(SETTINGS), ["rounds"], patience_s=0)
