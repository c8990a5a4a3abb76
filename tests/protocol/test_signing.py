"""Signatures: golden ones from a hand-made layout, and what must not verify."""

import os
from pathlib import Path
from typing import Any

import pytest

from protocol.signing import SigningKey, key_id, verify, verify_plan, verify_update
from schemas.errors import LocalError, PeerError
from schemas.records import Evaluation, Header, Offer, Presence, Signed
from tests.vectors import load

VECTORS = load("records")
PRESENCE = Presence("inst-1", (("lung", 1),), "wardround")


def signing_key(name: str) -> SigningKey:
    return SigningKey(bytes.fromhex(VECTORS["secrets"][name]))


def test_a_record_signed_here_verifies_and_is_the_same_record() -> None:
    key = SigningKey.generate()
    signed = key.sign(PRESENCE)
    assert verify(Signed.from_bytes(signed.to_bytes()), Presence, key.public) == PRESENCE


def test_signatures_of_the_plan_are_golden() -> None:
    golden = VECTORS["plan"]
    plan, signature = bytes.fromhex(golden["plan"]), bytes.fromhex(golden["signature"])
    assert signing_key("registrar").sign_plan(plan) == signature
    verify_plan(plan, signature, bytes.fromhex(golden["public"]))
    with pytest.raises(PeerError, match="signature of this plan"):
        verify_plan(plan + b"\n", signature, bytes.fromhex(golden["public"]))


def offers() -> list[dict[str, Any]]:
    return [entry for entry in VECTORS["records"] if entry["record"] == "Offer"]


@pytest.mark.parametrize("entry", offers(), ids=lambda entry: entry["title"])
def test_update_signatures_are_golden_and_cover_header_and_boxes(entry: dict[str, Any]) -> None:
    offer = Offer.from_bytes(bytes.fromhex("".join(field[1] for field in entry["fields"])))
    key, public = signing_key(entry["signer"]["name"]), bytes.fromhex(entry["signer"]["public"])
    assert key.sign_update(offer.header, offer.boxes) == offer.update_signature
    verify_update(offer.header, offer.boxes, offer.update_signature, public)
    others = [
        (offer.header[:-1] + b"\x04", offer.boxes),  # another cohort_min
        (offer.header, (*offer.boxes, b"one more")),
        (offer.header, offer.boxes[::-1] if len(offer.boxes) > 1 else (b"a box",)),
    ]
    for header, boxes in others:
        with pytest.raises(PeerError, match="signature of this update"):
            verify_update(header, boxes, offer.update_signature, public)


def test_a_header_is_never_signed_without_its_boxes() -> None:
    entry = next(entry for entry in VECTORS["records"] if entry["record"] == "Header")
    header = Header.from_bytes(bytes.fromhex("".join(field[1] for field in entry["fields"])))
    with pytest.raises(TypeError, match="sign_update"):
        SigningKey.generate().sign(header)


def test_a_signature_fits_no_other_kind_of_record() -> None:
    key = SigningKey.generate()
    with pytest.raises(PeerError, match="signature of this Evaluation"):
        verify(key.sign(PRESENCE), Evaluation, key.public)


def test_a_changed_payload_signature_or_key_does_not_verify() -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    signed = key.sign(PRESENCE)
    changed = PRESENCE.to_bytes().replace(b"inst-1", b"inst-2")
    bad = [
        Signed(signed.key_id, changed, signed.signature),
        Signed(signed.key_id, signed.payload, signed.signature[:-1] + bytes([signed.signature[-1] ^ 1])),
        Signed(other.key_id, signed.payload, signed.signature),
        Signed(key.key_id, signed.payload, other.sign(PRESENCE).signature),
    ]
    for wrong in bad:
        with pytest.raises(PeerError) as refused:
            verify(wrong, Presence, key.public)
        assert refused.value.code == "malformed"
    with pytest.raises(PeerError):
        verify(Signed(key_id(b"short"), signed.payload, signed.signature), Presence, b"short")


def test_a_signing_key_survives_its_file_and_shows_no_secret(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "site.key")
    assert SigningKey.load(tmp_path / "site.key").public == key.public
    assert os.stat(tmp_path / "site.key").st_mode & 0o777 == 0o600
    secret = (tmp_path / "site.key").read_bytes()
    assert len(secret) == 32
    assert secret.hex() not in repr(key)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    SigningKey.generate().save(tmp_path / "site.key")
    before = (tmp_path / "site.key").read_bytes()
    with pytest.raises(LocalError, match="never overwritten"):
        SigningKey.generate().save(tmp_path / "site.key")
    assert (tmp_path / "site.key").read_bytes() == before


def test_a_wrong_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file") as missing:
        SigningKey.load(tmp_path / "none.key")
    assert "keys new" in missing.value.hint
    opening = tmp_path / "opening.key"
    opening.write_bytes(bytes(96))
    opening.chmod(0o600)
    with pytest.raises(LocalError, match="no signing key") as wrong:
        SigningKey.load(opening)
    assert "another kind of key" in wrong.value.hint
    SigningKey.generate().save(tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o640)
    with pytest.raises(LocalError, match="mode 0640") as readable:
        SigningKey.load(tmp_path / "open.key")
    assert "chmod 600" in readable.value.hint
    with pytest.raises(LocalError, match="cannot write"):
        SigningKey.generate().save(tmp_path / "no folder" / "site.key")
