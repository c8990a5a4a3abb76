"""One of several: a tag says which fields follow, every value has one encoding, what is unknown is refused."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import F8, Id, OneOf, Record, Struct, U
from schemas.errors import PeerError


@dataclass(frozen=True, slots=True)
class Circle(Struct):
    radius: F8


@dataclass(frozen=True, slots=True)
class Square(Struct):
    side: U
    colour: Id


@dataclass(frozen=True, slots=True)
class Sheet(Record):
    KIND: ClassVar[int] = 100
    shape: Annotated[Circle | Square, OneOf((("circle", Circle), ("square", Square)))]


GOLDEN = {
    "93 64 01" "92 a6 636972636c65 91 c408 3ff8000000000000": Circle(1.5),
    "93 64 01" "92 a6 737175617265 92 07 a3 726564": Square(7, "red"),
}  # fmt: skip
SHAPES = st.one_of(
    st.floats(0.5, 1e6).map(Circle),
    st.builds(Square, st.integers(0, 2**63 - 1), st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True)),
)


@pytest.mark.parametrize(("wire", "shape"), GOLDEN.items(), ids=["circle", "square"])
def test_one_of_several_is_its_tag_and_its_fields(wire: str, shape: Circle | Square) -> None:
    assert Sheet(shape).to_bytes() == bytes.fromhex(wire)
    assert Sheet.from_bytes(bytes.fromhex(wire)) == Sheet(shape)


@given(SHAPES)
def test_each_of_several_comes_back_as_what_it_was(shape: Circle | Square) -> None:
    assert Sheet.from_bytes(Sheet(shape).to_bytes()) == Sheet(shape)


@given(SHAPES, SHAPES)
def test_no_two_values_have_the_same_bytes(one: Circle | Square, other: Circle | Square) -> None:
    assert (Sheet(one).to_bytes() == Sheet(other).to_bytes()) == (one == other)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (("oval", (b"\x3f\xf0" + bytes(6),)), "'oval' is none of circle, square"),
        ((1, (b"\x3f\xf0" + bytes(6),)), "1 is none of circle, square"),
        (("square", (b"\x3f\xf0" + bytes(6),)), "Square has 2 fields"),
        (("circle",), "needs a tag and the fields"),
        (("circle", (b"\x3f\xf0" + bytes(6),), None), "needs a tag and the fields"),
        ("circle", "needs a tag and the fields"),
        (None, "needs a tag and the fields"),
        (("circle", None), "Circle has 1 fields"),
    ],
)
def test_what_is_none_of_several_is_refused_with_the_reason(wire: Any, reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        Sheet.from_bytes(msgpack.packb((100, 1, wire)))


@given(st.binary(max_size=40))
def test_other_bytes_are_refused_or_the_encoding_of_what_they_say(payload: bytes) -> None:
    try:
        sheet = Sheet.from_bytes(b"\x93\x64\x01" + payload)
    except PeerError:
        return
    assert sheet.to_bytes() == b"\x93\x64\x01" + payload


def test_a_value_of_another_kind_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="needs one of Circle, Square"):
        Sheet(3.0)  # type: ignore[arg-type]  # what the type checker refuses, too
