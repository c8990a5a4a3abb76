"""The log in memory keeps Kafka's promises, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.ports.memory import MemoryLog
from transport.errors import Fenced

KEYED, PLAIN = "keyed", "plain"


def log() -> MemoryLog:
    one = MemoryLog(lambda: 0)
    one.create({KEYED: {"cleanup.policy": "compact"}, PLAIN: {}})
    return one


def values(one: MemoryLog, topic: str) -> list[bytes | None]:
    return [entry.value for entry in one.committed([topic])]


def test_nobody_sees_a_transaction_before_it_is_committed() -> None:
    one = log()
    epoch = one.begin("leader")
    transaction = one.open("leader", epoch)
    one.append(PLAIN, b"1", within=transaction)
    one.append(PLAIN, b"2")
    assert values(one, PLAIN) == []
    one.commit("leader", epoch)
    assert values(one, PLAIN) == [b"1", b"2"]


def test_whoever_begins_takes_back_what_its_predecessor_left_open_and_fences_it() -> None:
    one = log()
    before = one.begin("leader")
    one.append(PLAIN, b"1", within=one.open("leader", before))
    after = one.begin("leader")
    assert values(one, PLAIN) == []
    with pytest.raises(Fenced):
        one.commit("leader", before)
    with pytest.raises(Fenced):
        one.open("leader", before)
    one.append(PLAIN, b"2", within=one.open("leader", after))
    one.commit("leader", after)
    assert values(one, PLAIN) == [b"2"]


def test_repro_a_record_that_was_taken_back_replaces_none_that_was_committed() -> None:
    one = log()
    one.append(KEYED, b"old", b"key")
    one.append(KEYED, b"new", b"key", within=one.open("leader", one.begin("leader")))
    one.begin("leader")
    assert values(one, KEYED) == [b"old"]


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans(), st.booleans()), max_size=30))
def test_a_compacted_topic_keeps_the_newest_committed_record_of_each_key(
    writes: list[tuple[bytes, bool, bool]],
) -> None:
    """Each write: its key, whether in a transaction, and whether that is committed."""
    one, newest = log(), dict[bytes, bytes]()
    for number, (key, within, commits) in enumerate(writes):
        value = str(number).encode()
        if not within:
            one.append(KEYED, value, key)
        else:
            epoch = one.begin("leader")
            one.append(KEYED, value, key, within=one.open("leader", epoch))
            if commits:
                one.commit("leader", epoch)
        if not within or commits:
            newest[key] = value
    one.begin("leader")
    assert {entry.key: entry.value for entry in one.committed([KEYED])} == newest


def test_what_was_trimmed_is_gone_and_offsets_go_on() -> None:
    one = log()
    for number in range(3):
        one.append(PLAIN, str(number).encode())
    one.trim(PLAIN, 2)
    assert values(one, PLAIN) == [b"2"]
    assert one.append(PLAIN, b"3") == 3
