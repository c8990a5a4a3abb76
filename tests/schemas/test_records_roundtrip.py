"""Whatever record can be made is read back the same, from bytes that a second encoder of our own agrees on."""

import struct
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import Record, Struct
from schemas.records import (
    CHUNK_BYTES,
    RECORDS,
    RESERVED_NAMES,
    Action,
    BodyRef,
    Command,
    KeyBox,
    OpenEvaluation,
    RegistrarKey,
    Signed,
)

IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40).filter(
    lambda name: name not in RESERVED_NAMES
)
INTEGERS = (0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, -1, -32, -33, -128, -129, -(2**63))


def _pack(value: Any) -> bytes:
    """msgpack, the shortest form of each value: an encoder written from the specification of msgpack."""
    if value is None or isinstance(value, bool):
        return b"\xc0" if value is None else bytes([0xC2 + value])
    if isinstance(value, int):
        return _pack_integer(value)
    if isinstance(value, float):
        return _pack(struct.pack(">d", value))
    if isinstance(value, bytes):
        return _head(len(value), (), (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, str):
        return _head(len(value.encode()), (0xA0, 31), (0xD9, 0xDA, 0xDB)) + value.encode()
    parts = value if isinstance(value, tuple) else tuple(getattr(value, field.name) for field in fields(value))
    return _head(len(parts), (0x90, 15), (None, 0xDC, 0xDD)) + b"".join(_pack(part) for part in parts)


def _head(length: int, short: tuple[int, ...], marks: tuple[int | None, ...]) -> bytes:
    if short and length <= short[1]:
        return bytes([short[0] + length])
    mark, width = next(
        (mark, width) for mark, width in zip(marks, (1, 2, 4), strict=True) if mark and length < 256**width
    )
    return bytes([mark]) + length.to_bytes(width, "big")


def _pack_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return value.to_bytes(1, "big", signed=value < 0)
    for mark, width in enumerate((1, 2, 4, 8)):
        if value >= 0 and value < 256**width:
            return bytes([0xCC + mark]) + value.to_bytes(width, "big")
        if value < 0 and value >= -(256**width) // 2:
            return bytes([0xD0 + mark]) + value.to_bytes(width, "big", signed=True)
    raise AssertionError(value)


def _encoded(record: Any) -> bytes:
    parts = tuple(getattr(record, field.name) for field in fields(record))
    return _head(len(parts) + 2, (0x90, 15), (None, 0xDC, 0xDD)) + b"".join(
        _pack(part) for part in (record.KIND, record.VERSION, *parts)
    )


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """Each action with what it names, and nothing else."""
    action, reason = draw(st.sampled_from(Action)), draw(st.text(st.characters(codec="ascii"), max_size=200))
    site = draw(IDS) if action in (Action.EXCLUDE, Action.INCLUDE) else None
    version = draw(st.integers(0, 2**63 - 1)) if action is Action.CLOSE else None
    return Command(draw(IDS), draw(st.integers(0, 2**63 - 1)), action, site, version, reason)


@st.composite
def bodies(draw: st.DrawFn) -> BodyRef:
    """Bodies of up to 40 chunks in up to 40 runs."""
    runs: list[tuple[int, int]] = draw(st.lists(st.tuples(st.integers(0, 2**62), st.integers(1, 3)), max_size=12))
    count = sum(run[1] for run in runs)
    size = count * CHUNK_BYTES - (draw(st.integers(0, CHUNK_BYTES - 1)) if count else 0)
    key_ids = st.binary(min_size=16, max_size=16)
    boxes = draw(st.lists(st.builds(KeyBox, IDS, key_ids, st.binary(max_size=300)), max_size=3))
    digests = draw(st.binary(min_size=1, max_size=1)) * 32 * count
    return BodyRef(draw(st.integers(0, 3)), size, tuple(runs), digests, tuple(boxes))


def _whole(found: codec.Whole) -> st.SearchStrategy[int]:
    edges = [edge for edge in (found.low, found.high, *INTEGERS) if found.low <= edge <= found.high]
    return st.one_of(st.sampled_from(edges), st.integers(found.low, found.high))


def _blob(found: codec.Blob) -> st.SearchStrategy[bytes]:
    if found.exact:
        return st.binary(min_size=found.high, max_size=found.high)
    lengths = st.sampled_from([n for n in (0, 1, 31, 32, 255, 256, 1024, 65536) if n <= found.high] + [found.high])
    return st.builds(lambda n, byte: bytes([byte]) * n, lengths, st.integers(0, 255))


def _text(found: codec.Text) -> st.SearchStrategy[str]:
    texts = st.text(st.characters(codec="utf-8"), max_size=found.high)
    return texts.filter(lambda text: len(text.encode()) <= found.high)


def _many(found: codec.Many) -> st.SearchStrategy[tuple[Any, ...]]:
    unique: dict[str, Any] = {"unique_by": found.key} if found.key else {}
    lists = st.lists(_values(found.inner), min_size=found.low, max_size=min(found.high, 5), **unique)
    return lists.map(lambda values: tuple(sorted(values, key=found.key) if found.key else values))


def _values(found: Any) -> st.SearchStrategy[Any]:
    makers: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
        type(codec.ID): lambda _: IDS,
        type(codec.FLAG): lambda _: st.booleans(),
        type(codec.FLOAT8): lambda _: st.floats(-1e100, 1e100).map(lambda value: value + 0.0),
        codec.Whole: _whole,
        codec.Blob: _blob,
        codec.Text: _text,
        codec.Maybe: lambda maybe: st.none() | _values(maybe.inner),
        codec.Many: _many,
        codec.Pair: lambda pair: st.tuples(*(_values(part) for part in pair.parts)),
        codec.Nested: lambda nested: bodies() if nested.inside is BodyRef else values_of(nested.inside),
    }
    return makers[type(found)](found)


def values_of(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Any valid value of a record or of a value inside one."""
    hints = get_type_hints(kind, include_extras=True)
    if kind is Command:
        return commands()
    parts = {name: _values(get_args(hint)[1]) for name, hint in hints.items() if get_args(hint)[1:]}
    if kind is RegistrarKey:
        parts["public"] = parts["public"].map(lambda public: b"\xff" + public[1:])
        parts["former"] = parts["former"].map(lambda former: b"\x00" + former[1:])
    return st.builds(kind, **parts)


@pytest.mark.parametrize("record", RECORDS)
def test_any_record_is_read_back_the_same_from_its_one_encoding(record: type[Record]) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(values_of(record))
    def check(value: Record) -> None:
        payload = value.to_bytes()
        assert payload == _encoded(value)
        assert record.from_bytes(payload) == value

    check()


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=600), st.binary(min_size=64, max_size=64))
def test_any_envelope_is_read_back_the_same(key_id: bytes, payload: bytes, signature: bytes) -> None:
    signed = Signed(key_id, payload, signature)
    assert signed.to_bytes() == _pack((key_id, payload, signature))
    assert Signed.from_bytes(signed.to_bytes()) == signed


@pytest.mark.parametrize("value", INTEGERS)
def test_integers_at_the_edges_of_a_width_take_the_shortest_form(value: int) -> None:
    evaluation = OpenEvaluation("demo", "aachen", 0, bytes(32), (("loss", value),))
    assert evaluation.to_bytes().endswith(b"\xa4loss" + _pack_integer(value))
    assert OpenEvaluation.from_bytes(evaluation.to_bytes()) == evaluation
