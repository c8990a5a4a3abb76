"""What a participant reads, in which order, and what a missing topic keeps it from."""

from collections.abc import Iterable, Mapping

import pytest

from participant.shell import reading
from participant.shell.reading import Reading
from schemas import topics
from transport.errors import TopicMissing
from transport.reading.log import EARLIEST, Entry

DEMO, LUNG = (topics.keys("demo"), topics.rounds("demo")), (topics.keys("lung"), topics.rounds("lung"))
REGISTRAR = (topics.MEMBERS, topics.PLANS)


class Log:
    """Topics in memory with one entry each, in place of a LogReader."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.answers = True
        self.lost: dict[str, int] = {}
        self.hidden = set[str]()  # topics of which the broker tells nothing just now
        self.closed = set[str]()  # topics that are not allowed to be read
        self.batch_max = 10
        self.assigned: list[dict[str, int]] = []

    async def assign(self, positions: Mapping[str, int]) -> None:
        if missing := positions.keys() - self.there:
            self.assigned.append({})
            raise TopicMissing(missing, "broker:9092")
        self.assigned.append(dict(positions))

    async def batch(self, *, records_max: int = 256, wait_ms: int = 0) -> list[Entry]:
        if closed := self.closed & self.assigned[-1].keys():
            raise TopicMissing(closed, "broker:9092", forbidden=closed)
        unread = [topic for topic, at in self.assigned[-1].items() if at == EARLIEST and topic not in self.hidden]
        entries = [Entry(topic, 0, 0, None, b"") for topic in unread[: self.batch_max]]
        self.assigned[-1] |= {entry.topic: 1 for entry in entries}
        return entries

    async def ends(self) -> dict[str, int]:
        return dict.fromkeys(self.assigned[-1], 1)

    async def reached(self, ends: Mapping[str, int]) -> bool:
        return all(self.assigned[-1][topic] >= end for topic, end in ends.items())

    def positions(self) -> dict[str, int]:
        return dict(self.assigned[-1])

    def gone(self) -> frozenset[str]:
        return frozenset(self.assigned[-1].keys() - self.there) | self.hidden & self.assigned[-1].keys()

    async def forbidden(self, topics: Iterable[str]) -> frozenset[str]:
        return frozenset(self.closed).intersection(topics)

    async def missing(self, wanted: Iterable[str]) -> frozenset[str] | None:
        return frozenset(wanted) - self.there if self.answers else None


async def begun(log: Log) -> tuple[Reading, list[str]]:
    """A reading that follows `demo`; and where the entries that it feeds come from, in order."""
    fed: list[str] = []
    found = Reading(log, lambda entry: fed.append(entry.topic))  # type: ignore[arg-type]  # topics in memory
    await found.begin()
    await found.add({"demo": DEMO})
    return found, fed


async def test_the_registrars_records_are_read_before_those_that_their_keys_signed() -> None:
    log = Log(*REGISTRAR, *DEMO, *LUNG)
    found, fed = await begun(log)
    await found.add({"demo": DEMO, "lung": LUNG})
    assert fed == [*REGISTRAR, *DEMO, *LUNG]
    assert all(tuple(assigned)[:2] == REGISTRAR for assigned in log.assigned)


async def test_without_the_registrars_topics_a_participant_does_not_begin() -> None:
    with pytest.raises(TopicMissing, match=topics.MEMBERS):
        await begun(Log(*DEMO))


async def test_a_topic_that_goes_leaves_its_study_unread_and_the_others_where_they_were() -> None:
    log = Log(*REGISTRAR, *DEMO, *LUNG)
    found, fed = await begun(log)
    await found.add({"demo": DEMO, "lung": LUNG})
    fed.clear()
    log.there.remove(LUNG[1])
    await found.follow(wait_ms=0)
    assert LUNG[1] in found.why_unread("lung")
    assert not found.why_unread("demo")
    assert log.assigned[-1] == dict.fromkeys([*REGISTRAR, *DEMO], 1)
    assert fed == []


async def test_a_suspicion_that_the_broker_does_not_confirm_changes_nothing() -> None:
    log = Log(*REGISTRAR, *DEMO)
    found, _ = await begun(log)
    log.there.remove(DEMO[0])
    log.answers = False
    await found.follow(wait_ms=0)
    assert not found.why_unread("demo")


async def test_a_topic_that_is_made_again_is_read_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(*REGISTRAR, *DEMO[1:])
    found, fed = await begun(log)
    await found.follow(wait_ms=0)
    assert DEMO[0] in found.why_unread("demo")
    assert fed == [*REGISTRAR]
    log.there.add(DEMO[0])
    monkeypatch.setattr(reading, "AGAIN_S", 0.0)
    log.answers = False
    await found.follow(wait_ms=0)
    assert found.why_unread("demo")
    log.answers = True
    await found.follow(wait_ms=0)
    assert not found.why_unread("demo")
    assert fed == [*REGISTRAR, *DEMO]
    assert capsys.readouterr().out.count("topics are missing, waiting for them") == 1


async def test_a_study_whose_topic_seems_to_be_missing_is_unread_until_it_was_read_to_its_end() -> None:
    log = Log(*REGISTRAR, *DEMO)
    found = Reading(log, lambda entry: None)  # type: ignore[arg-type]  # topics in memory
    await found.begin()
    log.hidden = {DEMO[1]}
    await found.add({"demo": DEMO})
    assert found.why_unread("demo") == f"{DEMO[1]} not read to the end yet"
    await found.follow(wait_ms=0)
    assert found.why_unread("demo")
    log.hidden = set()
    await found.follow(wait_ms=0)
    assert not found.why_unread("demo")


async def test_a_topic_that_ends_before_what_was_read_of_it_is_read_to_its_end_again() -> None:
    log = Log(*REGISTRAR, *DEMO)
    found, fed = await begun(log)
    await found.add({"demo": DEMO})
    fed.clear()
    log.lost[DEMO[1]] = 812
    log.assigned[-1] |= dict.fromkeys(DEMO, EARLIEST)
    log.batch_max = 1
    await found.follow(wait_ms=0)
    assert fed == [*DEMO]
    await found.follow(wait_ms=0)
    assert fed == [*DEMO]


async def test_the_registrars_topics_may_go_without_ending_what_runs() -> None:
    log = Log(*REGISTRAR, *DEMO)
    found, _ = await begun(log)
    log.there.remove(topics.PLANS)
    await found.follow(wait_ms=0)
    assert log.assigned[-1] == dict.fromkeys(DEMO, 1)
    assert not found.why_unread("demo")


async def test_a_right_that_is_taken_away_holds_its_study_alone_is_no_missing_topic_and_may_be_given_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(*REGISTRAR, *DEMO, *LUNG)
    found, fed = await begun(log)
    await found.add({"demo": DEMO, "lung": LUNG})
    log.closed.add(topics.rounds("lung"))
    monkeypatch.setattr(reading, "AGAIN_S", 0.0)
    for _ in range(3):  # it is looked for again and again, and said once
        await found.follow(wait_ms=0)
    assert found.why_unread("lung") == f"not allowed to read {topics.rounds('lung')} on the broker"
    assert not found.why_unread("demo")
    told = capsys.readouterr().out
    assert told.count("topics are not allowed") == 1
    assert "kafka-acls.sh" in told
    assert "no topic" not in told
    log.closed.clear()
    await found.follow(wait_ms=0)
    assert not found.why_unread("lung")
    assert fed.count(topics.rounds("lung")) >= 1
