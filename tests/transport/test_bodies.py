"""Bodies by reference without a broker: runs, the window, what a resend does."""

import random
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.raw import batch, with_unreadable_header
from transport import bodies
from transport.bodies import BodyReader, BodyWriter, _parsed, _values, runs_of
from transport.errors import BodyGone
from transport.settings import KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")


def batch_of(values: list[bytes]) -> bytes:
    """A batch as a broker stores it, at offset 0."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1, key=None, value=value, headers=[])
    return bytes(builder.build())


def _expand(runs: tuple[tuple[int, int], ...]) -> list[int]:
    return [first + step for first, count in runs for step in range(count)]


@given(offsets=st.lists(st.integers(0, 50), max_size=60))
def test_runs_give_back_the_same_offsets_in_the_same_order(offsets: list[int]) -> None:
    runs = runs_of(offsets)
    assert _expand(runs) == offsets
    assert all(after[0] != first + count for (first, count), after in pairwise(runs))


def test_consecutive_offsets_are_one_run() -> None:
    assert runs_of([7, 8, 9, 3, 4, 4]) == ((7, 3), (3, 2), (4, 1))


class FlakyWriter:
    """A writer that loses some acknowledgements and remembers what lies where."""

    def __init__(self, seed: int) -> None:
        self.log: list[bytes] = []
        self.flying = self.flying_max = 0
        self._random = random.Random(seed)

    async def post(self, topic: str, value: bytes) -> SimpleNamespace:
        self.flying += 1
        self.flying_max = max(self.flying, self.flying_max)
        self.log.append(value)
        answered = self._random.random() < 0.5  # with others of its request, say
        return SimpleNamespace(offset=len(self.log) - 1, acknowledged=SimpleNamespace(done=lambda: answered))

    async def settle(self, ticket: SimpleNamespace) -> int | None:
        self.flying -= 1
        return None if self._random.random() < 0.3 else ticket.offset


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    window=st.integers(1, 9),
    acked=st.sets(st.integers(0, 59)),
)
async def test_every_chunk_lies_where_the_runs_say_and_acknowledged_ones_are_not_sent_again(
    seed: int, count: int, window: int, acked: set[int]
) -> None:
    writer, told = FlakyWriter(seed), dict.fromkeys(range(count), -1)
    before = {index: 10_000 + index for index in acked if index < count}
    uploader = BodyWriter(SETTINGS, Link(SETTINGS), writer, window)  # type: ignore[arg-type] # a fake
    runs = await uploader.upload("t", count, lambda index: b"%d" % index, acked=before, on_acked=told.__setitem__)
    offsets = _expand(runs)
    assert len(offsets) == count
    for index, offset in enumerate(offsets):
        if index in before:
            assert (offset, told[index]) == (before[index], -1)
        else:
            assert writer.log[offset] == b"%d" % index
            assert told[index] == offset
    assert not {b"%d" % index for index in before} & set(writer.log)
    assert writer.flying_max <= window


class Records:
    """aiokafka's record set, as far as it is used: batches of (offset, value)."""

    def __init__(self, *batches: list[tuple[int, bytes | None]] | None) -> None:
        self._batches = list(batches)

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> "Records.Batch":
        return Records.Batch(self._batches.pop(0))

    class Batch:
        def __init__(self, records: list[tuple[int, bytes | None]] | None) -> None:
            self.is_control_batch = records is None
            self._records = records or []

        def __iter__(self) -> Iterator[SimpleNamespace]:
            return (SimpleNamespace(offset=offset, value=value, headers=()) for offset, value in self._records)


def test_only_chunks_without_a_gap_from_the_wanted_offset_are_taken() -> None:
    assert _values("t", 5, Records([(3, b"a"), (4, b"b"), (5, b"c")], [(6, b"d")], None, [(8, b"e")])) == [b"c", b"d"]
    assert _values("t", 5, Records([(5, b"c")], [(7, b"e")])) == [b"c"]
    assert _values("t", 5, Records()) == []


@pytest.mark.parametrize("batches", [[[(6, b"d")]], [[(5, None)]]])
def test_nothing_is_taken_from_behind_a_hole(batches: list[list[tuple[int, bytes | None]]]) -> None:
    assert _values("t", 5, Records(*batches)) == []


async def test_a_hole_that_stays_means_the_body_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[], [b"a"], *[[]] * 5]

    async def once(*_: object) -> list[bytes]:
        return answers.pop(0)

    async def client(_: BodyReader) -> object:
        return object()

    monkeypatch.setattr(bodies, "_fetch_once", once)
    monkeypatch.setattr(bodies, "_EMPTY_S", 0.0)
    monkeypatch.setattr(BodyReader, "_live_client", client)
    stream = BodyReader(SETTINGS, Link(SETTINGS)).batches("t", [(5, 1), (9, 1)])
    assert await anext(stream) == [b"a"]
    with pytest.raises(BodyGone, match="offset 9"):
        await anext(stream)
    assert not answers


BATCH = batch_of([bytes(1000)] * 3)


@settings(deadline=None, max_examples=500)
@given(flips=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 7)), min_size=1, max_size=5))
def test_bytes_that_a_link_has_changed_are_fetched_again_and_end_nothing(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(BATCH)
    for at, bit in flips:
        damaged[at] ^= 1 << bit
    try:
        values = _parsed("t", 0, bytes(damaged), checked=True)
    except (KafkaError, OSError):
        return  # what a reader takes a fresh client for
    assert values in ([], [bytes(1000)] * 3)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "strange", [batch(b"b", first=1, codec=4), with_unreadable_header(b"b", first=1)], ids=["compressed", "malformed"]
)
def test_a_chunk_that_nobody_opens_is_as_one_that_is_gone(strange: bytes, checked: bool) -> None:
    records = batch(b"a") + strange + batch(b"c", first=2)
    assert _parsed("t", 0, records, checked) == [b"a"]
    with pytest.raises(BodyGone, match=r"offset 1 holds a (compressed|malformed) batch"):
        _parsed("t", 1, strange + batch(b"c", first=2), checked)
    assert _parsed("t", 2, strange + batch(b"c", first=2), checked) == [b"c"]


class CannedReader(BodyReader):
    """A reader whose fetches bring `size` chunks at most."""

    def __init__(self, size: int) -> None:
        super().__init__(SETTINGS, Link(SETTINGS))
        self._size = size

    async def _fetch(self, topic: str, offset: int, count: int, checked: bool) -> list[bytes]:
        return [b"%d" % (offset + step) for step in range(min(count, self._size))]


@given(runs=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)), max_size=8), size=st.integers(1, 9))
async def test_a_stream_follows_its_runs_whatever_a_fetch_brings(runs: list[tuple[int, int]], size: int) -> None:
    read = [int(chunk) async for chunk in CannedReader(size).chunks("t", runs)]
    assert read == [first + step for first, count in runs for step in range(count)]
