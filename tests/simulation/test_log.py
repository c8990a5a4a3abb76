"""The simulated log keeps Kafka's promises, and no others."""

import pytest

from schemas.records import Outcome, Receipt
from simulation.clock import ProcessEnded
from simulation.log import TRANSACTION_TIMEOUT_MS, Log
from simulation.records import Other
from simulation.written import receipts_of


def receipt(sequence: int) -> Receipt:
    return Receipt("simulated", "a", sequence, Outcome.COUNTED, None, 1, 16, sequence + 1, ())


def values(log: Log) -> list[int]:
    return [entry.value.sequence for entry in log.receipts.read(0)[0] if isinstance(entry.value, Receipt)]


def test_nobody_sees_a_transaction_before_it_is_committed() -> None:
    log = Log(["a"])
    producer = log.fence()
    producer.begin(0, 1)
    producer.send(log.receipts, receipt(1), "a", 0)
    assert values(log) == []
    assert log.receipts.newest("a") is None
    producer.commit(1)
    assert values(log) == [1]
    assert receipts_of(log) == {"a": receipt(1)}


def test_what_a_dead_leader_left_open_never_happened() -> None:
    log = Log(["a"])
    dead = log.fence()
    dead.begin(0, 1)
    dead.send(log.receipts, receipt(1), "a", 0)
    successor = log.fence()
    assert values(log) == []
    successor.begin(1, 1)
    successor.send(log.receipts, receipt(2), "a", 1)
    successor.commit(2)
    assert values(log) == [2]


def test_a_zombie_commits_nothing_once_another_one_leads() -> None:
    log = Log(["a"])
    zombie = log.fence()
    zombie.begin(0, 1)
    zombie.send(log.receipts, receipt(1), "a", 0)
    log.fence()
    with pytest.raises(ProcessEnded, match="fenced"):
        zombie.commit(1)
    with pytest.raises(ProcessEnded, match="fenced"):
        zombie.begin(2, 1)
    assert values(log) == []


def test_a_transaction_that_takes_too_long_is_taken_back() -> None:
    log = Log(["a"])
    slow = log.fence()
    slow.begin(0, 1)
    slow.send(log.receipts, receipt(1), "a", 0)
    with pytest.raises(ProcessEnded):
        slow.commit(TRANSACTION_TIMEOUT_MS + 1)
    assert values(log) == []


def left_hidden(log: Log, *forgotten: str, commit: bool, count: int = 2) -> list[str]:
    """A transaction of two records ends, and its markers are forgotten; returns what is said once it happened."""
    said: list[str] = []
    leader = log.fence()
    leader.begin(0, count, lambda: said.append("happened"))
    leader.send(log.rounds, "version", None, 0)
    leader.send(log.receipts, receipt(1), "a", 0)
    log.forgets = forgotten
    if commit:
        leader.commit(1)
    else:
        log.fence()
    return said


def end_hidden(log: Log, *, commit: bool) -> None:
    producer = log.fence()
    producer.begin_ending(2)
    if commit:
        producer.commit(3)
    else:
        producer.abort()


def test_a_transaction_whose_markers_are_forgotten_holds_readers_up_until_it_is_ended_once_more() -> None:
    log = Log(["a"])
    said = left_hidden(log, "receipts", commit=True)
    assert said == ["happened"]  # on rounds
    assert len(log.rounds.read(0)[0]) == 1
    assert (values(log), log.receipts.newest("a")) == ([], None)
    assert [one.whole for one in log.hidden] == [True]
    end_hidden(log, commit=True)
    assert (values(log), log.hidden, said) == ([1], [], ["happened"])


def test_the_end_of_the_next_transaction_ends_it_too_however_that_ends() -> None:
    log = Log(["a"])
    left_hidden(log, "rounds", "receipts", commit=True)
    careless = log.fence()
    careless.begin(2, 1)
    careless.send(log.receipts, receipt(2), "a", 2)
    careless.abort()
    assert values(log) == []
    assert log.receipts.read(0)[1] == log.receipts.end
    assert len(log.hidden) == 1  # on rounds, where nothing was written


def test_one_that_was_taken_back_or_has_a_record_missing_is_not_whole() -> None:
    log = Log(["a"])
    left_hidden(log, "receipts", commit=False)
    assert [one.whole for one in log.hidden] == [False]
    end_hidden(log, commit=False)
    left_hidden(log, "rounds", "receipts", commit=False, count=3)
    assert [one.whole for one in log.hidden] == [False, False]
    end_hidden(log, commit=False)
    assert (values(log), log.hidden) == ([], [])


def test_one_whose_leader_died_before_the_answer_happens_when_a_successor_ends_it() -> None:
    log = Log(["a"])
    said = left_hidden(log, "rounds", "receipts", commit=False)
    assert ([one.whole for one in log.hidden], said) == ([True, True], [])
    end_hidden(log, commit=True)
    assert (values(log), said) == ([1], ["happened"])


def test_whoever_ends_hidden_records_and_is_cut_short_takes_them_back() -> None:
    log = Log(["a"])
    said = left_hidden(log, "rounds", "receipts", commit=True)
    assert said == []
    log.fence().begin_ending(2)
    log.fence()
    assert (values(log), log.hidden, said) == ([], [], [])


def test_the_markers_of_who_ends_hidden_records_may_be_forgotten_too() -> None:
    log = Log(["a"])
    left_hidden(log, "rounds", "receipts", commit=True)
    log.forgets = ("rounds", "receipts")
    end_hidden(log, commit=True)
    assert [one.whole for one in log.hidden] == [True, True]
    end_hidden(log, commit=True)
    assert values(log) == [1]


def test_markers_take_offsets() -> None:
    log = Log(["a"])
    producer = log.fence()
    for sequence in (1, 2):
        producer.begin(0, 1)
        producer.send(log.receipts, receipt(sequence), "a", 0)
        producer.commit(0)
    assert [entry.offset for entry in log.receipts.read(0)[0]] == [0, 2]
    assert log.receipts.end == 4


def test_retention_takes_the_oldest_and_readers_go_on_behind_it() -> None:
    topic = Log(["a"]).offers["a"]
    for _ in range(5):
        topic.append(Other())
    topic.trim(3)
    assert topic.get(2) is None
    found, position = topic.read(0)
    assert [entry.offset for entry in found] == [3, 4]
    assert position == 5
    assert topic.append(Other()) == 5
