"""What is compressed, or cannot be parsed, never reaches aiokafka's parser; everything else does as it is."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.raw import GZIP, LZ4, SNAPPY, ZSTD, batch, message_set, with_unreadable_header, zipped
from transport.reading.batches import COMPRESSED, MALFORMED, sieved, why_refused

PLAIN = [batch(b"a", b"b"), batch(b"c", first=2, producer=7), message_set(b"d")]


def read(
    records: bytes, *, at: int = 0, committed: bool = False, aborted: Any = ()
) -> tuple[list[tuple[Any, ...]], int]:
    """What aiokafka makes of a fetch: offsets, values, why they are refused; and the offset it goes on from."""
    isolation = READ_COMMITTED if committed else READ_UNCOMMITTED
    found = PartitionRecords(
        TopicPartition("t", 0), MemoryRecords(records), list(aborted), at, None, None, True, isolation
    )
    return [(one.offset, one.value, why_refused(one.headers)) for one in found], found.next_fetch_offset


@given(batches=st.lists(st.sampled_from(PLAIN), max_size=5), cut=st.integers(0, 60), thorough=st.booleans())
def test_what_is_not_compressed_comes_as_the_very_same_bytes(batches: list[bytes], cut: int, thorough: bool) -> None:
    whole = b"".join(batches)
    records = whole[: len(whole) - cut]  # a broker cuts off what is beyond the limit of a fetch
    assert sieved(records, thorough=thorough) is records


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5, 6, 7])
def test_a_compressed_batch_is_passed_over_at_its_last_offset_and_nothing_of_it_is_unpacked(
    codec: int, committed: bool
) -> None:
    records = batch(b"a", b"b") + batch(b"c", b"d", b"e", first=2, codec=codec) + batch(b"f", first=5)
    expected = [(0, b"a", ""), (1, b"b", ""), (4, b"", COMPRESSED), (5, b"f", "")]
    assert read(sieved(records), committed=committed) == (expected, 6)
    assert read(sieved(records[:-1]), committed=committed) == (expected[:3], 5)
    assert read(sieved(records), at=3, committed=committed) == (expected[2:], 6)


@pytest.mark.parametrize("magic", [0, 1])
def test_compressed_messages_of_old_formats_are_passed_over_as_well(magic: int) -> None:
    records = message_set(b"x" * 1000, codec=GZIP, magic=magic) + batch(b"a", first=1)
    assert read(sieved(records)) == ([(0, b"", COMPRESSED), (1, b"a", "")], 2)


def test_a_compressed_batch_of_a_transaction_that_was_taken_back_stays_hidden() -> None:
    records = sieved(zipped(b"a", b"b", producer=7) + batch(b"c", first=2))
    assert read(records, committed=True, aborted=[(7, 0)]) == ([(2, b"c", "")], 3)
    assert read(records) == ([(1, b"", COMPRESSED), (2, b"c", "")], 3)


@given(bit=st.integers(0, 2), value=st.binary(max_size=40))
def test_a_batch_that_a_link_has_made_look_compressed_is_not_refused(bit: int, value: bytes) -> None:
    damaged = bytearray(batch(value))
    damaged[22] ^= 1 << bit
    with pytest.raises(CorruptRecordException):
        sieved(bytes(damaged))


def test_what_was_written_so_that_nobody_can_parse_it_is_refused_by_who_looks_closely() -> None:
    records = batch(b"a") + with_unreadable_header(b"b", first=1) + batch(b"c", first=2)
    with pytest.raises(UnicodeDecodeError):
        read(sieved(records))
    assert read(sieved(records, thorough=True)) == ([(0, b"a", ""), (1, b"", MALFORMED), (2, b"c", "")], 3)


def test_what_a_link_has_changed_is_never_taken_for_written_so() -> None:
    damaged = bytearray(with_unreadable_header(b"b"))
    damaged[-1] ^= 1
    assert sieved(bytes(damaged), thorough=True) == damaged


def test_what_lies_in_front_of_a_changed_batch_is_read_once_somebody_looks_thoroughly() -> None:
    whole, refused, changed = batch(b"a"), batch(b"b", first=1, codec=1), bytearray(batch(b"c", first=2))
    changed[-1] ^= 1
    assert sieved(whole + bytes(changed)) == whole + bytes(changed)
    assert sieved(whole + bytes(changed) + whole, thorough=True) == whole
    assert read(sieved(whole + refused + bytes(changed), thorough=True)) == ([(0, b"a", ""), (1, b"", COMPRESSED)], 2)


@settings(deadline=None, max_examples=300)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), max_size=5),
    junk=st.binary(max_size=100),
    thorough=st.booleans(),
)
def test_whatever_bytes_come_nothing_else_is_raised(flips: list[tuple[int, int]], junk: bytes, thorough: bool) -> None:
    damaged = bytearray(b"".join(PLAIN) + zipped(b"e", first=4) + junk)
    for at, bit in flips:
        damaged[at % len(damaged)] ^= 1 << bit
    try:
        sieved(bytes(damaged), thorough=thorough)
    except CorruptRecordException:
        return
