"""Every record against bytes laid out by hand: canonical, named by digest, signed."""

import struct
from typing import Any

import msgpack
import pytest

from protocol.digests import record_digest
from protocol.rounds import RoundsView
from protocol.signing import SigningKey, key_id, verify
from schemas import records
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import RECORDS, Offer, OpenEvaluation, Request, Signed
from tests.vectors import load

VECTORS = load("records")
ENTRIES: list[dict[str, Any]] = VECTORS["records"]
TYPES: dict[str, type[Record]] = {kind.__name__: kind for kind in (*RECORDS, OpenEvaluation)}
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["title"])


def payload_of(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex("".join(field[1] for field in entry["fields"]))


def read(entry: dict[str, Any]) -> Record:
    return TYPES[entry["record"]].from_bytes(payload_of(entry))


def by_digest(digest: str) -> dict[str, Any]:
    return next(entry for entry in ENTRIES if entry["digest"] == digest)


def test_every_record_of_the_wire_has_a_vector() -> None:
    assert {entry["record"] for entry in ENTRIES} == set(TYPES)


@each
def test_a_record_is_these_bytes_and_has_this_digest(entry: dict[str, Any]) -> None:
    payload = payload_of(entry)
    assert read(entry).to_bytes() == payload
    assert record_digest(payload).hex() == entry["digest"]


@each
def test_each_field_stands_in_its_place(entry: dict[str, Any]) -> None:
    record = read(entry)
    for name, value_hex, _ in entry["fields"][1:]:
        wire = msgpack.unpackb(bytes.fromhex(value_hex), use_list=False)
        value = getattr(record, name)
        if isinstance(wire, tuple):
            assert len(value) == len(wire) if isinstance(value, tuple) else value._wire() == wire
        elif isinstance(value, float):
            assert struct.pack(">d", value) == wire
        else:
            assert value == wire


@each
def test_a_second_encoding_or_a_cut_is_refused(entry: dict[str, Any]) -> None:
    payload = payload_of(entry)
    head = bytes.fromhex(entry["fields"][0][1])
    longer_kind = head[:-2] + b"\xcc" + head[-2:] + payload[len(head) :]
    for wrong in (longer_kind, payload[:-1], payload + b"\xc0", b""):
        with pytest.raises(PeerError):
            TYPES[entry["record"]].from_bytes(wrong)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "signature" in e], ids=lambda entry: entry["title"])
def test_signatures_are_golden(entry: dict[str, Any]) -> None:
    signer, payload = entry["signer"], payload_of(entry)
    key = SigningKey(bytes.fromhex(VECTORS["secrets"][signer["name"]]))
    public = bytes.fromhex(signer["public"])
    signed = Signed(bytes.fromhex(signer["key_id"]), payload, bytes.fromhex(entry["signature"]))
    assert key_id(public) == signed.key_id
    assert verify(signed, TYPES[entry["record"]], public) == read(entry)
    assert key.sign(read(entry)) == signed


def test_the_recorded_log_is_one_chain() -> None:
    view = RoundsView("lung", record_digest(b"plan"))
    log = [read(by_digest(digest)) for digest in VECTORS["log"]]
    assert [view.add(record) for record in log] == [True] * 6  # type: ignore[arg-type] # all are of `rounds`
    assert (view.version, view.final, view.next_index) == (1, True, 6)
    assert view.previous.hex() == VECTORS["log"][-1]


def test_an_offer_sealed_again_is_another_offer_of_the_same_update() -> None:
    first, again = (
        read(entry)
        for entry in ENTRIES
        if entry["title"] in ("Offer with two trustees", "Offer sealed again: same Header")
    )
    assert isinstance(first, Offer)
    assert isinstance(again, Offer)
    assert first != again
    asked = next(read(entry) for entry in ENTRIES if entry["title"] == "Request of two")
    assert isinstance(asked, Request)
    assert record_digest(first.header) == record_digest(again.header) == asked.entries[1].header


def test_a_request_after_a_refusal_carries_the_signed_verdict() -> None:
    request = next(read(entry) for entry in ENTRIES if entry["title"] == "Request after a refusal")
    refused = next(entry for entry in ENTRIES if entry["title"] == "Verdict, refused")
    assert isinstance(request, Request)
    assert request.after_refusal is not None
    signed = Signed.from_bytes(request.after_refusal)
    verdict = verify(signed, records.Verdict, bytes.fromhex(refused["signer"]["public"]))
    assert (verdict.accepted, verdict.code, verdict.sites) == (False, "p9", ("inst-2",))
