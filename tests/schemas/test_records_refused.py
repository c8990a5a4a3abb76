"""Whatever is not the one encoding of a valid record is refused with its reason, and never by another error."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import records as r
from schemas.codec import Record, Text
from schemas.errors import PeerError
from schemas.records.site import PresenceOfVersion1
from tests.schemas import hex_vectors
from tests.schemas.hex_vectors import Bad

READERS: dict[str, type[Record]] = {record.__name__.lower(): record for record in (*r.RECORDS, r.OpenEvaluation)}


def _read(vector: str, payload: bytes) -> object:
    name = vector.partition("-")[0]
    if name == "presence" and payload.startswith(PresenceOfVersion1.BEGINS):  # read as one of today, laid out as then
        r.Presence.from_bytes(payload)
        return PresenceOfVersion1.from_bytes(payload)
    if name == "cohortbody":
        return r.CohortBody.from_bytes(payload)
    return r.Signed.from_bytes(payload) if name == "signed" else READERS[name].from_bytes(payload)


@pytest.mark.parametrize("case", hex_vectors.bad(), ids=lambda case: case.what)
def test_bad_bytes_are_refused_with_the_reason(case: Bad) -> None:
    with pytest.raises(PeerError) as refused:
        _read(case.vector, case.payload)
    assert case.says in str(refused.value)
    assert refused.value.code == "malformed"
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("vector", hex_vectors.names())
def test_a_record_cut_anywhere_is_refused(vector: str) -> None:
    whole = hex_vectors.golden(vector)
    for length in {*range(0, len(whole), 7), *range(40), len(whole) - 1} & set(range(len(whole))):
        with pytest.raises(PeerError):
            _read(vector, whole[:length])


@pytest.mark.parametrize("vector", hex_vectors.names())
def test_a_field_too_many_or_too_few_is_refused(vector: str) -> None:
    lines = list(hex_vectors.fields_of(vector).values())
    long = lines[0][0] == 0xDC
    for change in (1, -1):
        head = lines[0][:-1] + bytes([lines[0][-1] + change]) if long else bytes([lines[0][0] + change])
        tail = b"".join(lines[1:]) + b"\xc0" if change == 1 else b"".join(lines[1:-1])
        with pytest.raises(PeerError):
            _read(vector, head + tail)


@pytest.mark.parametrize("depth", [100, 990, 1015, 1022, 1030, 500_000])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_lists_nested_too_deep_are_a_refusal_and_never_a_crash(depth: int, at: int) -> None:
    fields = [b"\x0b", b"\x01", b"\xa6aachen", b"\x90", b"\xa0"]
    fields[at] = b"\x91" * depth + b"\xc0"
    with pytest.raises(PeerError):
        r.Presence.from_bytes(b"\x95" + b"".join(fields))


@pytest.mark.parametrize("record", r.RECORDS)
def test_a_payload_over_its_limit_is_refused_before_it_is_unpacked(record: type[Record]) -> None:
    limit = 1024 if record is r.Header else 512 * 1024
    with pytest.raises(PeerError, match=f"at most {limit}"):
        record.from_bytes(b"\x91" * (limit + 1))


def test_the_largest_legal_records_fit_the_payload_limit() -> None:
    digest = bytes(32)
    boxes = tuple(r.KeyBox("x" * 40, bytes(16), bytes(1200)) for _ in range(17))
    large = r.BodyRef(2**63 - 1, 2**31, tuple((2**63 - 1 - i, 1) for i in range(4096)), bytes(32 * 4096), boxes)
    names = tuple(f"{i:040d}" for i in range(4096))
    at = r.BodyAt(digest, large)
    announcement = r.Announcement(
        "x" * 40, 2**63 - 1, digest, 2**63 - 1, digest, 2**63 - 1, digest, 2**63 - 1, digest, (digest,) * 3, digest,
        1024, 2**14, at, at, tuple((name, digest) for name in names[:1024]), 0, 5, True,
    )  # fmt: skip
    entries = tuple(r.RequestEntry(name, 2**63 - 1, digest, 16) for name in names[:1024])
    request = r.Request("x" * 40, 0, digest, 0, digest, 0, digest, entries, at, bytes(131072))
    roster = r.Roster(2**63 - 1, tuple((name, digest) for name in names))
    for record in (announcement, request, roster, r.PlanRecord("x" * 40, bytes(65536), large)):
        assert type(record).from_bytes(record.to_bytes()) == record


@dataclass(frozen=True, slots=True)
class Note(Record):
    """A record of our own with a limit that can be reached."""

    KIND: ClassVar[int] = 99
    SIZE_MAX: ClassVar[int] = 16
    text: Annotated[str, Text(40)]


def test_a_record_larger_than_its_limit_cannot_be_made() -> None:
    assert len(Note("x" * 12).to_bytes()) == 16
    with pytest.raises(ValueError, match="larger than 16 bytes"):
        Note("x" * 13)


def test_an_invalid_value_cannot_be_made_at_home_either() -> None:
    with pytest.raises(ValueError, match=r"OpenEvaluation\.site: 'Aachen' is no id"):
        r.OpenEvaluation("demo", "Aachen", 1, bytes(32), ())
    with pytest.raises(ValueError, match=r"OpenEvaluation\.version: True is no integer"):
        r.OpenEvaluation("demo", "aachen", True, bytes(32), ())
    with pytest.raises(ValueError, match=r"OpenEvaluation\.model: needs exactly 32 bytes"):
        r.OpenEvaluation("demo", "aachen", 1, bytes(33), ())
    with pytest.raises(ValueError, match=r"Presence\.states"):
        r.Presence("aachen", [("demo", 1)], "")  # type: ignore[arg-type]  # a list is refused at run time too
    with pytest.raises(ValueError, match=r"Roster\.members"):
        r.Roster(1, (1, 2))  # type: ignore[arg-type]  # no pairs at all


@given(st.binary(max_size=200))
def test_noise_is_refused_by_every_reader_or_is_the_one_encoding(noise: bytes) -> None:
    for record in r.RECORDS:
        try:
            value = record.from_bytes(noise)
        except PeerError:
            continue
        assert value.to_bytes() == noise


@given(st.data())
def test_a_golden_record_with_any_byte_changed_is_refused_or_is_the_one_encoding_of_something_else(
    data: st.DataObject,
) -> None:
    vector = data.draw(st.sampled_from(hex_vectors.names()))
    payload = bytearray(hex_vectors.golden(vector))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = _read(vector, bytes(payload))
    except PeerError:
        return
    assert value.to_bytes() == bytes(payload)  # type: ignore[attr-defined]  # a record or an envelope
