"""The simulated log keeps Kafka's promises, and no others."""

import pytest

from schemas.records import Outcome, Receipt
from simulation.clock import ProcessEnded
from simulation.log import TRANSACTION_TIMEOUT_MS, Log
from simulation.records import Other


def receipt(sequence: int) -> Receipt:
    return Receipt("simulated", "a", sequence, Outcome.COUNTED, None, 1, 16, sequence + 1, ())


def values(log: Log) -> list[int]:
    return [entry.value.sequence for entry in log.receipts.read(0)[0] if entry.value is not None]


def test_nobody_sees_a_transaction_before_it_is_committed() -> None:
    log = Log(["a"])
    producer = log.fence()
    producer.begin(0)
    producer.send(log.receipts, receipt(1), "a", 0)
    assert values(log) == []
    assert log.receipts.newest("a") is None
    producer.commit(1)
    assert values(log) == [1]
    assert log.receipts.by_key() == {"a": receipt(1)}


def test_what_a_dead_leader_left_open_never_happened() -> None:
    log = Log(["a"])
    dead = log.fence()
    dead.begin(0)
    dead.send(log.receipts, receipt(1), "a", 0)
    successor = log.fence()
    assert values(log) == []
    successor.begin(1)
    successor.send(log.receipts, receipt(2), "a", 1)
    successor.commit(2)
    assert values(log) == [2]


def test_a_zombie_commits_nothing_once_another_one_leads() -> None:
    log = Log(["a"])
    zombie = log.fence()
    zombie.begin(0)
    zombie.send(log.receipts, receipt(1), "a", 0)
    log.fence()
    with pytest.raises(ProcessEnded, match="fenced"):
        zombie.commit(1)
    with pytest.raises(ProcessEnded, match="fenced"):
        zombie.begin(2)
    assert values(log) == []


def test_a_transaction_that_takes_too_long_is_taken_back() -> None:
    log = Log(["a"])
    slow = log.fence()
    slow.begin(0)
    slow.send(log.receipts, receipt(1), "a", 0)
    with pytest.raises(ProcessEnded):
        slow.commit(TRANSACTION_TIMEOUT_MS + 1)
    assert values(log) == []


def test_markers_take_offsets() -> None:
    log = Log(["a"])
    producer = log.fence()
    for sequence in (1, 2):
        producer.begin(0)
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
