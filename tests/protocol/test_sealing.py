"""Seals: recorded boxes that must open, and everything that must not."""

import os
from pathlib import Path

import pytest

from protocol.sealing import (
    ChunkOpener,
    ChunkSealer,
    OpenKey,
    body_box,
    epoch_box,
    new_body_key,
    new_epoch_key,
    open_body_box,
    open_epoch_box,
    open_epoch_key,
    seal,
    seal_epoch_key,
)
from schemas.errors import LocalError, PeerError
from schemas.records import CHUNK_BYTES, EpochKey, KeyBox
from tests.vectors import load

VECTORS = {name: bytes.fromhex(row[0]) for name, row in load("seals").items() if name != "comment"}
KEY = OpenKey(VECTORS["opening_key"])
OTHER = OpenKey(bytes(range(96)))
SUBJECT = VECTORS["subject"]


def recorded_box(box: bytes = VECTORS["body_box"], key_id: bytes = VECTORS["key_id"]) -> KeyBox:
    return KeyBox("coordinator", key_id, box)


def test_the_recorded_key_has_the_name_printed_by_the_draft() -> None:
    assert KEY.key_id == VECTORS["key_id"]
    assert len(KEY.public) == 1216


def test_a_recorded_body_box_opens() -> None:
    other = KeyBox("auditor", OTHER.key_id, b"sealed to somebody else")
    assert open_body_box(KEY, [other, recorded_box()], SUBJECT) == VECTORS["body_key"]


def test_a_recorded_body_box_opens_for_nothing_else() -> None:
    header = bytes([VECTORS["header"][0] ^ 1]) + VECTORS["header"][1:]
    flipped = VECTORS["body_box"][:-1] + bytes([VECTORS["body_box"][-1] ^ 1])
    attempts = [
        (KEY, recorded_box(), os.urandom(32)),
        (KEY, recorded_box(), header.ljust(32, b"\0")[:32]),
        (KEY, recorded_box(VECTORS["body_box"][:-1]), SUBJECT),
        (KEY, recorded_box(VECTORS["body_box"][:40]), SUBJECT),
        (KEY, recorded_box(b""), SUBJECT),
        (KEY, recorded_box(flipped), SUBJECT),
        (KEY, recorded_box(VECTORS["epoch_key_box"]), SUBJECT),
        (KEY, recorded_box(key_id=OTHER.key_id), SUBJECT),
        (OTHER, recorded_box(key_id=OTHER.key_id), SUBJECT),
    ]
    for key, box, subject in attempts:
        with pytest.raises(PeerError) as refused:
            open_body_box(key, [box], subject)
        assert refused.value.code == "box"


def test_a_box_is_bound_to_the_key_it_names() -> None:
    """A box whose info holds another key_id does not open, even under the right key."""
    box = body_box(KEY.public, "coordinator", OTHER.key_id, SUBJECT, new_body_key())
    with pytest.raises(PeerError):
        open_body_box(KEY, [KeyBox("coordinator", KEY.key_id, box.box)], SUBJECT)


def test_a_body_box_made_here_opens_and_has_the_size_of_the_wire() -> None:
    body_key = new_body_key()
    box = body_box(KEY.public, "coordinator", KEY.key_id, SUBJECT, body_key)
    assert len(box.box) == 1168
    assert open_body_box(KEY, [box], SUBJECT) == body_key


def given(study: str, epoch: int, member: str, box: bytes) -> EpochKey:
    return EpochKey(study, epoch, member, KEY.key_id, box)


def test_a_recorded_epoch_key_opens_for_its_member_alone() -> None:
    box = VECTORS["epoch_key_box"]
    assert open_epoch_key(KEY, given("lung", 3, "inst-1", box)) == VECTORS["epoch_key"]
    for study, epoch, member in (("lung-2", 3, "inst-1"), ("lung", 4, "inst-1"), ("lung", 3, "inst-2")):
        with pytest.raises(PeerError):
            open_epoch_key(KEY, given(study, epoch, member, box))


def test_an_epoch_key_made_here_opens() -> None:
    epoch_key = new_epoch_key()
    record = given("lung", 0, "a", seal_epoch_key(KEY.public, "lung", 0, "a", epoch_key))
    assert open_epoch_key(KEY, record) == epoch_key
    with pytest.raises(PeerError, match=f"sealed to {KEY.key_id.hex()}; held {OTHER.key_id.hex()}") as refused:
        open_epoch_key(OTHER, record)
    assert refused.value.code == "box"


def test_an_epoch_box_opens_under_its_epoch_alone() -> None:
    recorded = KeyBox("epoch", VECTORS["epoch_key_id"], VECTORS["epoch_box"])
    assert open_epoch_box(VECTORS["epoch_key"], [recorded]) == VECTORS["body_key"]
    body_key, epoch_key = new_body_key(), new_epoch_key()
    box = epoch_box(epoch_key, body_key)
    assert len(box.box) == 60
    assert open_epoch_box(epoch_key, [recorded, box]) == body_key
    for wrong in (KeyBox("epoch", box.key_id, box.box[:-1]), KeyBox("epoch", box.key_id, b""), recorded):
        with pytest.raises(PeerError) as refused:
            open_epoch_box(epoch_key, [wrong])
        assert refused.value.code == "box"


def test_a_box_that_holds_no_key_is_refused() -> None:
    info_free = open_epoch_key(KEY, given("lung", 3, "inst-1", VECTORS["epoch_key_box"]))
    assert len(info_free) == 32
    box = body_box(KEY.public, "coordinator", KEY.key_id, SUBJECT, b"too short")
    with pytest.raises(PeerError, match="9 bytes"):
        open_body_box(KEY, [box], SUBJECT)


def test_a_public_key_that_is_none_is_the_peers_fault() -> None:
    for public in (b"", bytes(32), b"\xff" * 1216, KEY.public + b"\0"):
        with pytest.raises(PeerError):
            seal(public, b"", b"secret")


def test_a_recorded_chunk_opens() -> None:
    assert ChunkOpener(VECTORS["body_key"], SUBJECT, 2).open(1, VECTORS["sealed_chunk"]) == VECTORS["chunk"]
    assert ChunkSealer(VECTORS["body_key"], SUBJECT, 2).seal(1, VECTORS["chunk"]) == VECTORS["sealed_chunk"]


def test_a_recorded_chunk_opens_for_no_other_index_count_or_subject() -> None:
    for index, count, subject in (
        (0, 2, SUBJECT),
        (2, 3, SUBJECT),
        (1, 2, bytes(32)),
        (0, 1, SUBJECT),
        (-1, 2, SUBJECT),
    ):
        with pytest.raises(PeerError) as refused:
            ChunkOpener(VECTORS["body_key"], subject, count).open(index, VECTORS["sealed_chunk"])
        assert refused.value.code == "malformed"
    with pytest.raises(PeerError):
        ChunkOpener(bytes(32), SUBJECT, 2).open(1, VECTORS["sealed_chunk"])


def test_full_chunks_cannot_change_places() -> None:
    body_key = new_body_key()
    sealer, opener = ChunkSealer(body_key, SUBJECT, 3), ChunkOpener(body_key, SUBJECT, 3)
    sealed = sealer.seal(0, bytes(CHUNK_BYTES))
    assert len(sealed) == CHUNK_BYTES + 16
    assert opener.open(0, memoryview(sealed)) == bytes(CHUNK_BYTES)
    with pytest.raises(PeerError, match="chunk 1 of 3 does not open"):
        opener.open(1, sealed)
    flipped = bytearray(sealed)
    flipped[1000] ^= 1
    with pytest.raises(PeerError, match="changed"):
        opener.open(0, flipped)
    with pytest.raises(PeerError, match="impossible size"):
        opener.open(0, sealed[:-1])


def test_only_the_last_chunk_may_be_short() -> None:
    sealer = ChunkSealer(new_body_key(), SUBJECT, 2)
    for index, size in ((0, 5), (1, 0), (1, CHUNK_BYTES + 1), (2, 5)):
        with pytest.raises(ValueError, match="cannot have"):
            sealer.seal(index, bytes(size))


def test_an_opening_key_survives_its_file_and_shows_no_secret(tmp_path: Path) -> None:
    key = OpenKey.generate()
    key.save(tmp_path / "open.key")
    loaded = OpenKey.load(tmp_path / "open.key")
    assert loaded.public == key.public
    assert os.stat(tmp_path / "open.key").st_mode & 0o777 == 0o600
    assert (tmp_path / "open.key").read_bytes().hex()[:16] not in repr(key)
    (tmp_path / "short.key").write_bytes(bytes(32))
    (tmp_path / "short.key").chmod(0o600)
    with pytest.raises(LocalError, match="no opening key"):
        OpenKey.load(tmp_path / "short.key")
