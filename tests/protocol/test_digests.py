"""Digests and subjects."""

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocol.digests import (
    BodyHasher,
    body_digest,
    chunk_count,
    digest_of,
    initial_subject,
    model_subject,
    record_digest,
    state_subject,
    update_subject,
)
from schemas.records import CHUNK_BYTES

CHUNKS = [bytes([fill]) * CHUNK_BYTES for fill in (1, 2)] + [b"the rest"]


@given(cuts=st.lists(st.integers(0, 2 * CHUNK_BYTES + 8), max_size=6))
def test_a_body_has_one_digest_however_it_arrives(cuts: list[int]) -> None:
    body = b"".join(CHUNKS)
    edges = [0, *sorted(cuts), len(body)]
    hasher = BodyHasher()
    for start, end in pairwise(edges):
        hasher.update(memoryview(body)[start:end])
    expected = b"".join(hashlib.sha256(chunk).digest() for chunk in CHUNKS)
    assert hasher.finish() == (hashlib.sha256(expected).digest(), expected)


def test_an_empty_body_has_no_chunks() -> None:
    assert BodyHasher().finish() == (hashlib.sha256(b"").digest(), b"")
    assert digest_of([b"", memoryview(b"")]) == body_digest(b"")


def test_chunks_are_counted_up() -> None:
    assert [chunk_count(size) for size in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1)] == [0, 1, 1, 2]


def test_subjects_follow_the_layout_of_the_wire() -> None:
    study = b"\x00\x04lung"
    assert model_subject("lung", 7) == hashlib.sha256(b"wardround/secagg/1/model" + study + bytes(7) + b"\x07").digest()
    assert state_subject("lung", 7) == hashlib.sha256(b"wardround/secagg/1/state" + study + bytes(7) + b"\x07").digest()
    assert initial_subject("lung") == hashlib.sha256(b"wardround/secagg/1/initial" + study + bytes(8)).digest()
    assert update_subject(b"header") == record_digest(b"header") == hashlib.sha256(b"header").digest()
