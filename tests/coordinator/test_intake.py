"""What lies on a site's offers topic: verified before it is a fact, and nobody speaks for anybody else."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from coordinator.core.events import Evaluated
from coordinator.shell.intake import VerifiedOffer, measured, read_offer_topic, worth_reading
from protocol.digests import body_digest, record_digest
from protocol.evaluations import evaluation_of
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import (
    BodyRef,
    Command,
    Evaluation,
    Header,
    KeyState,
    KeyUse,
    Member,
    MemberKey,
    Offer,
    OpenEvaluation,
    Presence,
    Role,
    Roster,
    Signed,
)
from schemas.roster import Membership, assemble
from tests.schemas.plans import PLAN
from transport.reading.log import Entry

KEYS = {name: SigningKey.generate() for name in ("a", "a-old", "a-stolen", "b", "stranger")}
CHUNK_DIGESTS = hashlib.sha256(b"chunk").digest()

OPENING = OpenKey.generate()


def _member(name: str, **keys: KeyState) -> Member:
    held = tuple(MemberKey(KeyUse.SIGN, KEYS[key].key_id, KEYS[key].public, state) for key, state in keys.items())
    return Member(name, f"Hospital {name}", (), (Role.SITE,), held)


def _membership() -> Membership:
    a = _member("a", **{"a": KeyState.ACTIVE, "a-old": KeyState.RETIRED, "a-stolen": KeyState.REVOKED})
    members = [a, _member("b", b=KeyState.ACTIVE)]
    by_digest = {record_digest(member.to_bytes()): member for member in members}
    return assemble(
        Roster(1, tuple((member.name, digest) for digest, member in by_digest.items())), bytes(32), by_digest
    )


MEMBERS = _membership()


def read(value: bytes | None, site: str = "a", plan: Plan = PLAN) -> Any:
    return read_offer_topic(Entry(f"wardround.offers.{site}", 41, 0, None, value), site, plan, MEMBERS, OPENING)


def header(**other: Any) -> Header:
    honest = Header(
        study=PLAN.study,
        site="a",
        signing_key=KEYS["a"].key_id,
        sequence=7,
        plan=PLAN.digest,
        base_version=3,
        base_digest=b"\x04" * 32,
        trustees=(),
        d=PLAN.d,
        payload_digest=body_digest(CHUNK_DIGESTS),
        cohort_min=3,
    )
    return replace(honest, **other)


def offer(head: Header | None = None, *, key: str = "a", **other: Any) -> Offer:
    payload = (head or header()).to_bytes()
    body = BodyRef(0, PLAN.body_bytes, ((0, 1),), CHUNK_DIGESTS, ())
    return replace(Offer(payload, (), KEYS[key].sign_update(payload, ()), body), **other)


def signed(record: Record, key: str = "a") -> bytes:
    return KEYS[key].sign(record).to_bytes()


def evaluation(values: dict[str, float] | None = None, **other: Any) -> Evaluation:
    told = {"accuracy": 0.91, "n-test": 40.0} if values is None else values
    study, site = other.get("study", PLAN.study), other.get("site", "a")
    return evaluation_of(study, site, 3, b"\x04" * 32, told, {"coordinator": OPENING.public})


def refused(value: bytes | None, site: str = "a") -> str:
    with pytest.raises(PeerError) as error:
        read(value, site)
    return error.value.code


def test_an_honest_offer_becomes_a_fact_that_says_what_its_header_says() -> None:
    value = signed(offer())
    seen = read(value)
    assert isinstance(seen, VerifiedOffer)
    assert seen.signed == value
    fact = seen.fact
    assert (fact.site, fact.offset, fact.sequence, fact.base_version) == ("a", 41, 7, 3)
    assert fact.header == hashlib.sha256(header().to_bytes()).digest()
    assert (fact.plan, fact.d, fact.size_bytes, fact.cohort_min) == (PLAN.digest, PLAN.d, PLAN.body_bytes, 3)
    assert (fact.base_digest, fact.trustees, fact.code) == (b"\x04" * 32, 0, None)


def test_chunk_digests_that_are_not_those_of_the_header_are_malformed() -> None:
    body = BodyRef(0, PLAN.body_bytes, ((0, 1),), hashlib.sha256(b"another").digest(), ())
    assert read(signed(offer(body=body))).fact.code == "malformed"


def test_a_body_of_another_size_and_trustees_nobody_planned_are_left_to_the_core_to_refuse() -> None:
    body = BodyRef(0, 12, ((0, 1),), CHUNK_DIGESTS, ())
    assert read(signed(offer(body=body))).fact.size_bytes == 12
    assert read(signed(offer(header(trustees=(("t", b"k" * 16),))))).fact.trustees == 1


def test_an_offer_of_another_study_is_none_of_our_business() -> None:
    assert read(signed(offer(header(study="another")))) is None


def test_a_retired_key_still_signs_what_was_made_under_it() -> None:
    old = header(signing_key=KEYS["a-old"].key_id)
    assert read(signed(offer(old, key="a-old"))).fact.sequence == 7


@pytest.mark.parametrize(("key", "code"), [("stranger", "stranger"), ("b", "stranger"), ("a-stolen", "revoked")])
def test_a_key_that_is_not_this_sites_or_revoked_is_refused(key: str, code: str) -> None:
    assert refused(signed(offer(), key)) == code
    assert refused(signed(offer(header(signing_key=KEYS[key].key_id), key=key))) == code
    assert refused(signed(evaluation(), key)) == code
    assert refused(signed(Presence("a", (), "1"), key)) == code


def test_a_header_that_names_another_key_than_signed_it_is_refused() -> None:
    assert refused(signed(offer(header(signing_key=KEYS["a-old"].key_id)))) == "malformed"


@pytest.mark.parametrize("record", [offer(header(site="b")), evaluation(site="b"), Presence("b", (), "1")])
def test_a_record_that_names_another_site_is_refused(record: Record) -> None:
    assert refused(signed(record)) == "stranger"


def test_one_sites_record_on_anothers_topic_is_refused() -> None:
    assert refused(signed(offer()), "b") == "stranger"
    assert refused(signed(evaluation()), "b") == "stranger"


@pytest.mark.parametrize("record", [offer(), evaluation(), Presence("a", (), "1")])
def test_a_signature_over_other_bytes_is_refused(record: Record) -> None:
    good = Signed.from_bytes(signed(record))
    flipped = bytearray(good.signature)
    flipped[5] ^= 1
    assert refused(replace(good, signature=bytes(flipped)).to_bytes()) == "malformed"
    payload = bytearray(good.payload)
    payload[-1] ^= 1
    assert refused(replace(good, payload=bytes(payload)).to_bytes()) == "malformed"


def test_a_record_signed_as_another_kind_is_refused() -> None:
    presence = KEYS["a"].sign(Presence("a", (), "1"))
    assert refused(replace(presence, payload=evaluation().to_bytes()).to_bytes()) == "malformed"


def test_an_update_signature_of_another_header_or_other_boxes_is_refused() -> None:
    stolen = offer(header(sequence=8)).update_signature
    assert refused(signed(offer(update_signature=stolen))) == "malformed"
    assert refused(signed(offer(boxes=(b"box",)))) == "malformed"


def test_a_header_that_is_none_is_refused() -> None:
    for payload in (
        b"",
        b"\x90",
        Presence("a", (), "1").to_bytes(),
        header().to_bytes()[:-1],
        header().to_bytes() + b"\0",
    ):
        wrong = Offer(payload, (), KEYS["a"].sign_update(payload, ()), offer().body)
        assert refused(signed(wrong)) == "malformed"


@pytest.mark.parametrize("value", [None, b"", b"\xc0", b"\x93", b"garbage", bytes(600_000)])
def test_bytes_that_are_no_signed_record_are_refused(value: bytes | None) -> None:
    assert refused(value) == "malformed"


@pytest.mark.parametrize("cut", [1, 40, 100])
def test_a_truncated_record_is_refused(cut: int) -> None:
    assert refused(signed(offer())[:-cut]) == "malformed"


def test_a_kind_that_no_site_writes_is_refused() -> None:
    assert refused(signed(Command(PLAN.study, 1, 4, None, None, "stop"))) == "malformed"


def test_presence_is_passed_on() -> None:
    presence = Presence("a", ((PLAN.study, 3),), "0.1.0")
    assert read(signed(presence)) == presence


def test_an_evaluation_becomes_its_primary_metric_and_weight() -> None:
    record = evaluation()
    digest = hashlib.sha256(record.to_bytes()).digest()
    assert read(signed(record)) == Evaluated("a", 3, b"\x04" * 32, digest, 0.91, 40.0)


def test_an_evaluation_of_schema_version_1_still_counts_and_other_names_in_it_do_not() -> None:
    values = (("accuracy", 910_000), ("n-test", 40_000_000), ("patient-4711", 1))
    seen = read(signed(OpenEvaluation(PLAN.study, "a", 3, b"\x04" * 32, values)))
    assert (seen.value, seen.weight) == (0.91, 40.0)


def test_a_metric_of_any_size_a_metric_can_have_is_heard() -> None:
    assert read(signed(evaluation({"accuracy": 2.4e22, "n-test": 40.0}))).value == 2.4e22


def test_an_evaluation_with_names_that_the_plan_does_not_let_out_is_refused() -> None:
    assert refused(signed(evaluation({"accuracy": 0.9, "patient-4711-john-doe": 1.0}))) == "malformed"


def test_an_evaluation_that_was_sealed_to_another_or_for_another_version_is_refused() -> None:
    other = {"coordinator": OpenKey.generate().public}
    assert refused(signed(evaluation_of(PLAN.study, "a", 3, b"\x04" * 32, {"accuracy": 0.9}, other))) == "box"
    assert refused(signed(replace(evaluation(), version=4))) == "box"


@pytest.mark.parametrize("other", [{"values": {}}, {"values": {"n-test": 9.0}}, {"study": "another"}])
def test_an_evaluation_without_the_metric_or_of_another_study_is_none_of_our_business(other: dict[str, Any]) -> None:
    assert read(signed(evaluation(**other))) is None


@pytest.mark.parametrize(("values", "weight"), [({"accuracy": 5.0}, 0), ({"accuracy": 5.0, "n-test": -9.0}, 0)])
def test_an_evaluation_without_a_sound_weight_weighs_nothing(values: Any, weight: int) -> None:
    assert read(signed(evaluation(values=values))).weight == weight


def entries(*values: tuple[str, bytes | None]) -> list[Entry]:
    return [Entry(f"wardround.offers.{site}", offset, 0, None, value) for offset, (site, value) in enumerate(values)]


def test_of_presence_the_newest_of_each_site_is_read_and_of_everything_else_all() -> None:
    told = signed(Presence("a", (), "1"))
    found = worth_reading(entries(
        ("a", told), ("a", signed(offer())), ("b", told), ("a", told), ("a", signed(evaluation())), ("a", None),
        ("a", told), ("a", b"noise"), ("b", told),
    ))  # fmt: skip
    assert [entry.offset for entry in found] == [1, 4, 5, 6, 7, 8]


def test_an_evaluation_is_found_by_its_digest_whoever_signed_it() -> None:
    record = evaluation()
    digest = record_digest(record.to_bytes())
    (entry,) = entries(("a", signed(record, "a-stolen")))
    assert measured(entry, PLAN, {digest}, OPENING)[0] == digest
    found = measured(entry, PLAN, {digest}, OPENING)[1]
    assert found is not None
    assert found.digest == digest
    assert measured(entry, PLAN, {bytes(32)}, OPENING)[1] is None


@pytest.mark.parametrize(
    "value",
    [None, b"", signed(Presence("a", (), "1")), signed(evaluation())[:-1]],
    ids=["nothing", "empty", "presence", "cut-short"],
)
def test_what_is_no_evaluation_is_not_looked_at(value: bytes | None) -> None:
    assert measured(entries(("a", value))[0], PLAN, {b""}, OPENING) == (b"", None)
