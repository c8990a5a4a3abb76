"""Several keys of one member: the right one opens, the one that the roster lists as active signs."""

from pathlib import Path

import pytest

from protocol.evaluations import evaluation_of, measured_values, sealed_to
from protocol.key_files import retired_path
from protocol.rings import OpenRing, SignRing
from protocol.sealing import (
    OpenKey,
    body_box,
    open_body_box,
    open_content,
    open_epoch_key,
    seal_content,
    seal_epoch_key,
)
from protocol.signing import SigningKey, key_id
from schemas.errors import LocalError, PeerError
from schemas.records import EpochKey, KeyBox, KeyState
from tests.protocol.rosters import AnyKey, roster_of
from tests.schemas.plans import PLAN

ACTIVE, RETIRED, REVOKED = KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED
OLDEST, OLD, NEW, OTHER = (OpenKey.generate() for _ in range(4))
RING = OpenRing.of(NEW, OLD, OLDEST)
SUBJECT = b"what it is bound to"
FIRST, SECOND = SigningKey.generate(), SigningKey.generate()
SIGNING = SignRing.of(SECOND, FIRST)


def boxes(*keys: OpenKey) -> list[KeyBox]:
    return [body_box(key.public, "name", key.key_id, SUBJECT, bytes(32)) for key in keys]


@pytest.mark.parametrize("key", [NEW, OLD, OLDEST], ids=["newest", "retired", "older"])
def test_what_is_sealed_to_any_key_of_a_ring_opens(key: OpenKey) -> None:
    assert open_body_box(RING, boxes(OTHER, key), SUBJECT) == bytes(32)
    assert open_content(RING, seal_content({"hub": key.public}, SUBJECT, b"memory"), SUBJECT) == b"memory"
    box = seal_epoch_key(key.public, "lung", 3, "hub", bytes(range(32)))
    assert open_epoch_key(RING, EpochKey("lung", 3, "hub", key.key_id, box)) == bytes(range(32))


def test_what_is_sealed_to_another_key_says_which_one_and_which_are_held() -> None:
    held = ", ".join(key.key_id.hex() for key in (NEW, OLD, OLDEST))
    with pytest.raises(PeerError, match=f"sealed to {OTHER.key_id.hex()}; held {held}") as refused:
        open_body_box(RING, boxes(OTHER), SUBJECT)
    assert refused.value.code == "box"
    with pytest.raises(PeerError, match="sealed to nobody; held"):
        open_body_box(RING, [], SUBJECT)


def test_what_sites_measured_is_read_with_the_key_it_was_sealed_to() -> None:
    values = {PLAN.evaluation.metric: 0.5}
    told = evaluation_of(PLAN.study, "site-1", 3, bytes(32), values, {"hub": OLD.public})
    assert sealed_to(told, RING)
    assert measured_values(told, RING, PLAN) == values
    assert not sealed_to(told, OpenRing.of(NEW))
    assert not sealed_to(told, None)


def test_a_ring_of_one_is_that_key() -> None:
    ring = OpenRing.of(NEW)
    assert ring.key_ids == (NEW.key_id,) == NEW.key_ids
    assert ring.key(NEW.key_id) is NEW
    assert ring.key(OLD.key_id) is None


def test_a_ring_is_read_from_a_key_and_the_retired_ones_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.open"
    NEW.save(path)
    for key in (OLD, OLDEST, NEW):
        key.save(retired_path(path, key.key_id))
    OTHER.save(tmp_path / "hub.open.bak")
    OTHER.save(tmp_path / "hubs.open.0123abcd")
    ring = OpenRing.load(path)
    assert ring.key_ids[0] == NEW.key_id
    assert set(ring.key_ids) == {NEW.key_id, OLD.key_id, OLDEST.key_id}
    SECOND.save(tmp_path / "hub.sign")
    FIRST.save(retired_path(tmp_path / "hub.sign", FIRST.key_id))
    assert SignRing.load(tmp_path / "hub.sign").key_ids == SIGNING.key_ids


def test_a_retired_key_that_is_open_to_others_or_cut_is_refused_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "hub.open"
    NEW.save(path)
    beside = retired_path(path, OLD.key_id)
    OLD.save(beside)
    beside.chmod(0o644)
    with pytest.raises(LocalError, match=f"{beside.name} is open to others"):
        OpenRing.load(path)
    beside.chmod(0o600)
    beside.write_bytes(b"half")
    with pytest.raises(LocalError, match=f"{beside.name} is no opening key"):
        OpenRing.load(path)
    path.unlink()
    with pytest.raises(LocalError, match=r"hub\.open: No such file"):
        OpenRing.load(path)


@pytest.mark.parametrize(
    ("states", "signs"),
    [
        ({FIRST: ACTIVE}, FIRST),
        ({SECOND: ACTIVE, FIRST: RETIRED}, SECOND),
        ({SECOND: ACTIVE, FIRST: REVOKED}, SECOND),
        ({SECOND: RETIRED, FIRST: ACTIVE}, FIRST),
        ({SECOND: REVOKED, FIRST: ACTIVE}, FIRST),
        ({SECOND: REVOKED, FIRST: RETIRED}, FIRST),
        ({FIRST: RETIRED}, FIRST),
        ({FIRST: REVOKED}, SECOND),
        ({}, SECOND),
    ],
    ids=[
        "not published yet",
        "published",
        "published, the one before stolen",
        "the one before was published again",
        "the new one stolen",
        "the new one stolen, the old one retired",
        "a third one is active, and not here",
        "the old one stolen, the new one not published yet",
        "nothing is published",
    ],
)
def test_the_newest_key_that_the_roster_lists_as_active_signs(
    states: dict[AnyKey, KeyState], signs: SigningKey
) -> None:
    assert SIGNING.signer("site-1", roster_of({"site-1": states})) is signs


def test_before_there_is_a_roster_and_for_another_member_the_newest_signs() -> None:
    assert SIGNING.signer("site-1", None) is SECOND
    assert SIGNING.signer("site-2", roster_of({"site-1": {FIRST: ACTIVE}})) is SECOND


def test_with_every_key_revoked_nothing_is_signed() -> None:
    with pytest.raises(LocalError, match="every signing key of site-1") as refused:
        SIGNING.signer("site-1", roster_of({"site-1": {FIRST: REVOKED, SECOND: REVOKED}}))
    assert "wardround keys rotate site-1" in refused.value.hint


def test_a_ring_shows_names_and_no_secrets() -> None:
    assert repr(RING) == f"OpenRing({', '.join(key.key_id.hex() for key in (NEW, OLD, OLDEST))})"
    assert NEW.key_id == key_id(NEW.public)
