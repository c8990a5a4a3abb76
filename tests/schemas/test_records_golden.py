"""Every record has the bytes of the wire table, laid out by hand in vectors/, and means what their comments say."""

import hashlib
import pickle

import pytest

from schemas import records as r
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import BodyAt, BodyRef, KeyBox
from schemas.records.coordinator import AnnouncementOfVersion1
from tests.schemas import hex_vectors

AACHEN = "aachen"
SEQUENCE = 1_700_000_000 * 2**20


def _digest(byte: int) -> bytes:
    return bytes([byte]) * 32


def _body(offset: int, *, size: int = 8, digest: int = 0x0D, boxes: tuple[KeyBox, ...] = ()) -> BodyRef:
    return BodyRef(0, size, ((offset, 1),), _digest(digest), boxes)


COORD_BOX = KeyBox("coord", b"\xcc" * 16, b"\x0a\x0b\x0c")
EPOCH_BOX = KeyBox("epoch", b"\x0e" * 16, b"\x01\x02")
SEALED = r.Sealed((COORD_BOX,), b"\x01\x02\x03\x04")
TWO_CHUNKS = BodyRef(0, 524_289, ((7, 1), (300, 1)), b"\xaa" * 32 + b"\xbb" * 32, (COORD_BOX,))

MEANING: dict[str, Record] = {
    "member": r.Member(
        name="st-mary",
        institution="Köln",
        studies=("demo",),
        roles=(1, 4),
        keys=(
            r.MemberKey(1, hashlib.sha256(b"\x11" * 32).digest()[:16], b"\x11" * 32, 1),
            r.MemberKey(2, hashlib.sha256(b"\x22" * 1216).digest()[:16], b"\x22" * 1216, 3),
        ),
    ),
    "roster": r.Roster(serial=300, members=((AACHEN, _digest(1)), ("st-mary", _digest(2)))),
    "planrecord": r.PlanRecord(study="demo", plan=b"\x92\x01\x20", initial=TWO_CHUNKS),
    "planrecord-without-initial": r.PlanRecord(study="demo", plan=b"\x92\x01\x20", initial=None),
    "epochkey": r.EpochKey(study="demo", epoch=0, member=AACHEN, key_id=b"\xcc" * 16, box=b"\x0d" * 1168),
    "announcement": r.Announcement(
        study="demo", index=0, previous=_digest(0), version=0, plan=_digest(0x0A), roster_serial=1,
        roster=_digest(0x0B), key_epoch=0, request=None, partial_sums=(), sum=None, n=0, sum_w=0,
        model=BodyAt(_digest(0x0C), _body(0, boxes=(EPOCH_BOX,))), state=None, evaluations=(), patience=0, stop=0,
        final=False,
    ),
    "announcement-final": r.Announcement(
        study="demo", index=24, previous=_digest(1), version=12, plan=_digest(0x0A), roster_serial=2,
        roster=_digest(0x0B), key_epoch=1, request=_digest(2), partial_sums=(_digest(3), _digest(4)), sum=_digest(5),
        n=3, sum_w=31, model=BodyAt(_digest(0x0C), _body(42)), state=BodyAt(_digest(6), _body(43, size=16, digest=7)),
        evaluations=((AACHEN, _digest(8)), ("st-mary", _digest(9))), patience=2, stop=2, final=True,
        summary=r.Summary(3, 0.75),
    ),
    "announcement-1": AnnouncementOfVersion1(
        study="demo", index=0, previous=_digest(0), version=0, plan=_digest(0x0A), roster_serial=1,
        roster=_digest(0x0B), key_epoch=0, request=None, partial_sums=(), sum=None, n=0, sum_w=0,
        model=BodyAt(_digest(0x0C), _body(0, boxes=(EPOCH_BOX,))), state=None, evaluations=(), patience=0, stop=0,
        final=False,
    ),
    "request": r.Request(
        study="demo", index=1, previous=_digest(1), version=0, plan=_digest(0x0A), roster_serial=1,
        roster=_digest(0x0B),
        entries=(
            r.RequestEntry(AACHEN, SEQUENCE, _digest(2), 16),
            r.RequestEntry("st-mary", SEQUENCE + 1, _digest(3), 4),
        ),
        cohort=BodyAt(_digest(0x0C), _body(3)), after_refusal=None,
    ),
    "request-after-refusal": r.Request(
        study="demo", index=2, previous=_digest(1), version=0, plan=_digest(0x0A), roster_serial=1,
        roster=_digest(0x0B), entries=(r.RequestEntry(AACHEN, 5, _digest(2), 11),),
        cohort=BodyAt(_digest(0x0C), _body(4)), after_refusal=b"\x93\x01\x02\x03\x04",
    ),
    "askagain": r.AskAgain(
        study="demo", index=2, previous=_digest(1), request=_digest(2), trustees=("t2", "t1")
    ),
    "failed": r.Failed(
        study="demo", index=2, previous=_digest(1), request=_digest(2), code="range", names=(AACHEN, "st-mary")
    ),
    "receipt": r.Receipt(
        study="demo", site=AACHEN, sequence=SEQUENCE + 1, outcome=1, code=None, version=12, weight=11,
        next_offset=257,
        recent=(r.Decided(SEQUENCE + 1, 1, None, 12, 11), r.Decided(SEQUENCE, 2, "stale", None, 0)),
    ),
    "receipt-again": r.Receipt(
        study="demo", site=AACHEN, sequence=127, outcome=4, code="malformed", version=None, weight=0,
        next_offset=128, recent=(),
    ),
    "offer": r.Offer(
        header=b"\x9d\x10\x01", boxes=(b"\x01\x02", b"\x03\x04"), update_signature=b"\x5a" * 64,
        body=_body(41, size=24, boxes=(COORD_BOX,)),
    ),
    "presence": r.Presence(
        site=AACHEN, states=(("a", 1), ("demo", 8)), software="wardround 0.1.0",
        troubles=(("demo", 1, 3), ("demo", 4, 300)),
    ),
    "evaluation": r.Evaluation(study="demo", site=AACHEN, version=12, model=_digest(0x0C), measured=SEALED),
    "measurements": r.Measurements(values=(("c-index", 0.75), ("mse", 2.4e22), ("n-test", 30.0))),
    "openevaluation": r.OpenEvaluation(
        study="demo", site=AACHEN, version=12, model=_digest(0x0C),
        values=(("c-index", 654_321), ("log-loss", -500_000), ("n-test", 30_000_000)),
    ),
    "verdict": r.Verdict(
        study="demo", trustee="t1", index=0, previous=_digest(0), request=_digest(2), accepted=True, code=None,
        sites=(),
    ),
    "verdict-refused": r.Verdict(
        study="demo", trustee="t1", index=1, previous=_digest(1), request=_digest(2), accepted=False, code="p9",
        sites=(AACHEN,),
    ),
    "partialsum": r.PartialSum(
        study="demo", trustee="t1", index=1, previous=_digest(1), request=_digest(2), noise_std=16.0,
        digest=_digest(3), body=_body(0),
    ),
    "renewal": r.Renewal(name=AACHEN, request=b"\x30\x03\x02\x01\x00"),
    "certificate": r.Certificate(name=AACHEN, chain=b"-----BEGIN", roots=b"-----BEGIN CERT"),
    "registrarkey": r.RegistrarKey(former=_digest(0x0A), public=_digest(0x0B), serial=257, proof=b"\x5a" * 64),
    "command": r.Command(study="demo", serial=3, action=5, site=AACHEN, version=None, reason="üble."),
    "command-pause": r.Command(study="demo", serial=4, action=2, site=None, version=None, reason=""),
    "bookmark": r.Bookmark(
        study="demo", plan=_digest(0x0A), version=12, positions=((AACHEN, 257), ("st-mary", 0)), memory=SEALED,
    ),
    "memory": r.Memory(
        best=0.75, without=((AACHEN, -0.5),), evaluations=(r.Measured(AACHEN, _digest(8), -0.5, 30.0),),
    ),
    "header": r.Header(
        study="demo", site=AACHEN, signing_key=b"\xcc" * 16, sequence=SEQUENCE, plan=_digest(0x0A), base_version=12,
        base_digest=_digest(0x0C), trustees=(("t2", b"\x01" * 16), ("t1", b"\x02" * 16)), d=2**29,
        payload_digest=_digest(0x0D), cohort_min=5,
    ),
}  # fmt: skip
OLDER = {  # of schema versions that are read and not written any more
    "presence-1": r.Presence(site=AACHEN, states=(("a", 1), ("demo", 6)), software="wardround 0.1.0"),
}


@pytest.mark.parametrize("vector", MEANING)
def test_a_record_is_written_as_its_golden_bytes(vector: str) -> None:
    assert MEANING[vector].to_bytes().hex() == hex_vectors.golden(vector).hex()


@pytest.mark.parametrize("vector", OLDER)
def test_what_lies_on_logs_from_an_older_schema_version_stays_readable(vector: str) -> None:
    assert type(OLDER[vector]).from_bytes(hex_vectors.golden(vector)) == OLDER[vector]


def test_a_presence_of_the_older_version_says_no_more_than_that_could() -> None:
    golden = hex_vectors.golden("presence-1")
    with pytest.raises(PeerError, match="states"):
        r.Presence.from_bytes(golden.replace(b"demo\x06", b"demo\x07"))
    with pytest.raises(PeerError, match="schema version 3"):
        r.Presence.from_bytes(golden[:2] + b"\x03" + golden[3:])


@pytest.mark.parametrize("vector", MEANING)
def test_golden_bytes_are_read_as_what_their_comments_say(vector: str) -> None:
    assert type(MEANING[vector]).from_bytes(hex_vectors.golden(vector)) == MEANING[vector]


@pytest.mark.parametrize("vector", MEANING)
def test_the_kind_can_be_told_from_the_first_bytes(vector: str) -> None:
    assert r.kind_of(hex_vectors.golden(vector)) == hex_vectors.fields_of(vector)["kind"][0]


@pytest.mark.parametrize("payload", [b"", b"\x95", b"\xc0\x05", b"\x90", b"\x92\xcc", b"\xdc\x00", b"\xdc\x00\x15"])
def test_bytes_that_are_no_record_have_kind_0(payload: bytes) -> None:
    assert r.kind_of(payload) == 0


@pytest.mark.parametrize("payload", [b"\x91\x0b", bytes([0x91, 0x0B]) + bytes(300), b"\x91\x0b" + bytes(70_000)])
def test_the_kind_of_a_signed_record_can_be_told_without_reading_it(payload: bytes) -> None:
    assert r.kind_within(r.Signed(bytes(16), payload, bytes(64)).to_bytes()) == 11


@pytest.mark.parametrize(
    "value", [b"", b"\x93", b"\x93\xc4\x10" + bytes(16), b"\x93\xc4\x10" + bytes(90), b"\x91" * 99]
)
def test_bytes_that_are_no_signed_record_have_no_kind_within(value: bytes) -> None:
    assert r.kind_within(value) == 0


def test_an_announcement_of_version_1_is_read_as_one_without_a_summary_and_keeps_its_bytes() -> None:
    old = r.Announcement.from_bytes(hex_vectors.golden("announcement-1"))
    assert old.summary is None
    assert old.to_bytes() == hex_vectors.golden("announcement-1")
    assert pickle.loads(pickle.dumps(old)).to_bytes() == hex_vectors.golden("announcement-1")


def test_every_golden_file_has_a_meaning_and_every_record_a_golden_file() -> None:
    assert set(hex_vectors.names()) == {*MEANING, *OLDER, "signed", "cohortbody"}
    assert {type(value) for value in MEANING.values()} == {*r.RECORDS, r.OpenEvaluation, AnnouncementOfVersion1}


def test_kinds_are_those_of_the_wire_table() -> None:
    table = [
        "Member", "Roster", "PlanRecord", "EpochKey", "Announcement", "Request", "AskAgain", "Failed", "Receipt",
        "Offer", "Presence", "Evaluation", "Verdict", "PartialSum", "Command", "Header",
        "Bookmark", "Memory", "Measurements", "Renewal", "Certificate", "RegistrarKey",
    ]  # fmt: skip
    assert {record.__name__: record.KIND for record in r.RECORDS} == {name: i for i, name in enumerate(table, 1)}
    later = {record.__name__: record.VERSION for record in r.RECORDS if record.VERSION > 1}
    assert later == {"Announcement": 2, "Presence": 2, "Evaluation": 2, "Bookmark": 2}


def test_a_signature_covers_the_record_name_in_lower_case_and_a_header_is_signed_as_update() -> None:
    contexts = {record.__name__: record.context() for record in r.RECORDS}
    assert contexts.pop("Header") == "update"
    assert contexts == {name: name.lower() for name in contexts}


def test_the_envelope_is_key_id_payload_signature() -> None:
    signed = r.Signed(b"\xcc" * 16, bytes.fromhex("9301020304a0c0"), b"\x5a" * 64)
    assert signed.to_bytes().hex() == hex_vectors.golden("signed").hex()
    assert r.Signed.from_bytes(hex_vectors.golden("signed")) == signed


def test_a_name_of_an_enumeration_is_written_as_its_number() -> None:
    named = r.Decided(1, r.Outcome.REFUSED, "stale", None, 0)
    receipt = r.Receipt("demo", AACHEN, 1, r.Outcome.REFUSED, "stale", None, 0, 2, (named,))
    plain = r.Receipt("demo", AACHEN, 1, 2, "stale", None, 0, 2, (r.Decided(1, 2, "stale", None, 0),))
    assert receipt == plain
    assert receipt.to_bytes() == plain.to_bytes()
    with pytest.raises(ValueError, match=r"within 1\.\.4"):
        r.Decided(1, r.Action.INCLUDE, None, None, 0)
