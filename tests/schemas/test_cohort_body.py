"""The body that explains a cohort has the bytes that lie on logs, and no others are read as one."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import PeerError
from schemas.records import CohortBody
from tests.schemas import hex_vectors

GOLDEN = CohortBody(bytes.fromhex("93c4c5c6"), (b"\x0a\x0b\x0c", b"\x0d\x0e"), (b"\xee" * 256,))
SOME = st.binary(max_size=300)
BODIES = st.builds(
    CohortBody,
    SOME,
    st.lists(SOME, min_size=1, max_size=4).map(tuple),
    st.lists(SOME, min_size=1, max_size=4).map(tuple),
)


def test_a_cohort_body_has_these_bytes() -> None:
    assert GOLDEN.to_bytes() == hex_vectors.golden("cohortbody")
    assert CohortBody.from_bytes(hex_vectors.golden("cohortbody")) == GOLDEN


@given(BODIES)
def test_a_cohort_body_is_an_array_of_its_parts_as_ever(body: CohortBody) -> None:
    assert body.to_bytes() == msgpack.packb([body.roster, list(body.members), list(body.offers)])
    assert CohortBody.from_bytes(body.to_bytes()) == body


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ([b"r", [b"m"]], "has 3 fields"),
        ([b"r", [b"m"], []], "offers: needs 1 to 1024 entries, got 0"),
        ([b"r", [], [b"o"]], "members: needs 1 to 1028 entries, got 0"),
        ([b"r", [b"m"], [b"o"] * 1025], "offers: needs 1 to 1024 entries, got 1025"),
        ([b"r", ["m"], [b"o"]], "got str"),
        ({"roster": b"r"}, "cannot be read"),
        (7, "is no array"),
    ],
)
def test_what_is_no_cohort_body_is_refused_with_the_reason(wire: object, reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        CohortBody.from_bytes(msgpack.packb(wire))


def test_a_cohort_body_in_a_second_encoding_is_refused() -> None:
    with pytest.raises(PeerError, match="second encoding"):
        CohortBody.from_bytes(b"\x93\xc5\x00\x01r\x91\xc4\x01m\x91\xc4\x01o")


@given(st.binary(max_size=60))
def test_any_other_bytes_are_refused_or_are_the_one_encoding(payload: bytes) -> None:
    try:
        body = CohortBody.from_bytes(b"\x93" + payload)
    except PeerError:
        return
    assert body.to_bytes() == b"\x93" + payload
