"""One topic that is answered no more is noticed among lively ones, and nothing else is taken for it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from transport.reading import consumer as consumer_module
from transport.reading import log, watching
from transport.reading.log import LogReader
from transport.reading.silence import ASKED_S, Silence
from transport.settings import KafkaSettings
from transport.staying.link import Link


def behind(silence: Silence, seconds: int, **stamps: int | None) -> tuple[str, float]:
    """The last answer of looking each second; stamps of `None` stay as they are, numbers rise by the second."""
    told = ("", 0.0)
    for now_s in range(seconds):
        told = silence.longest({topic: None if base is None else base + now_s for topic, base in stamps.items()}, now_s)
    return told


def test_a_topic_that_is_never_answered_is_noticed_among_lively_ones() -> None:
    assert behind(Silence(), 41, keys=0, rounds=0, receipts=None) == ("receipts", 40)


def test_topics_without_records_are_answered_too() -> None:
    assert behind(Silence(), 41, keys=0, rounds=7)[1] == 0


def test_nobody_is_suspected_while_all_are_silent() -> None:
    assert behind(Silence(), 100, keys=None, rounds=None)[1] == 0
    assert Silence().longest({}, 5.0) == ("", 0.0)


def test_who_did_not_ask_for_long_misses_nothing() -> None:
    silence, asked_s = Silence(), ASKED_S + 1
    for turn in range(20):
        assert silence.longest({"rounds": turn, "receipts": 0}, turn * asked_s)[1] == 0


def test_a_topic_that_was_left_out_begins_anew() -> None:
    silence = Silence()
    assert behind(silence, 20, keys=0, rounds=None) == ("rounds", 19)
    assert silence.longest({"keys": 20}, 20)[1] == 0
    assert silence.longest({"keys": 21, "rounds": None}, 21)[1] == 0


class Consumer:
    """What a reader asks of aiokafka's: `keys` is lively, `rounds` is not."""

    def __init__(self, now: list[float]) -> None:
        self.now = now
        self.held: dict[TopicPartition, object] = {}
        self.known = {"keys", "rounds"}
        self._fetcher = SimpleNamespace(_records=self.held)

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("keys", 0), TopicPartition("rounds", 0)}

    def paused(self) -> set[TopicPartition]:
        return set()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self.known else None

    def last_poll_timestamp(self, tp: TopicPartition) -> int:
        return int(self.now[0]) if tp.topic == "keys" else 1


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> tuple[LogReader, Consumer, list[float]]:
    """A reader whose consumer is played, and the clock."""
    now = [0.0]
    for module in (log, watching):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    settings = KafkaSettings("127.0.0.1:1", "tests")
    reader, consumer = LogReader(settings, Link(settings)), Consumer(now)
    reader._live.now = cast(Any, consumer)
    return reader, consumer, now


def said(reader: LogReader, now: list[float], seconds: int) -> str:
    for _ in range(seconds):
        now[0] += 1
        if found := reader._watching.silent(cast(Any, reader._live.now)):
            return found
    return ""


def test_a_reader_names_the_topic_that_is_answered_no_more(reading: tuple[LogReader, Consumer, list[float]]) -> None:
    reader, _, now = reading
    assert said(reader, now, 60) == "no answer for rounds for 31 s, while others are answered"


@pytest.mark.parametrize("why", ["its records wait to be taken", "the broker has it not"])
def test_a_reader_does_not_suspect_a_topic_that_is_not_asked_for(
    reading: tuple[LogReader, Consumer, list[float]], why: str
) -> None:
    reader, consumer, now = reading
    if why == "the broker has it not":
        consumer.known.remove("rounds")
    else:
        consumer.held[TopicPartition("rounds", 0)] = object()
    assert said(reader, now, 300) == ""


async def test_the_client_is_replaced_and_the_link_stays_as_it_is(
    reading: tuple[LogReader, Consumer, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, consumer, now = reading
    ended: list[object] = []
    rebuilt: list[str] = []

    async def end(client: object) -> None:
        ended.append(client)

    monkeypatch.setattr(consumer_module, "end", end)
    reader._link.on_rebuild(rebuilt.append)
    reader._link.up()
    said(reader, now, 29)
    now[0] += 4
    waiting = asyncio.create_task(reader.batch(wait_ms=1))
    await asyncio.sleep(0.05)
    now[0] += 1
    await waiting
    assert (ended, rebuilt, reader._link.connected) == ([consumer], ["topic"], True)
