"""Digests that name things for ever, and the subjects that bind a sealed body to what it is.

Knows:    SHA-256 (fixed by LABEL; another digest would be another LABEL), the cutting of bodies into chunks.
Source:   docs/secure-aggregation.md, section 4.
"""

import hashlib
import struct
from collections.abc import Iterable

from schemas.records import CHUNK_BYTES

LABEL = b"wardround/secagg/1"

Buffer = bytes | bytearray | memoryview


def record_digest(payload: bytes) -> bytes:
    """Digest of a record, a header or a plan: SHA-256 of its canonical bytes."""
    return hashlib.sha256(payload).digest()


def body_digest(chunk_digests: bytes) -> bytes:
    """Digest of a body: SHA-256 over the SHA-256 of each plain chunk, in order."""
    return hashlib.sha256(chunk_digests).digest()


def chunk_count(size_bytes: int) -> int:
    """Number of chunks of a body of `size_bytes`; the last one may be shorter."""
    return -(-size_bytes // CHUNK_BYTES)


class BodyHasher:
    """Digest of a body that arrives in pieces of any size; cuts it into chunks of 512 KiB itself."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._chunk = hashlib.sha256()
        self._filled = 0

    def update(self, piece: Buffer) -> None:
        """Take the next bytes of the body. Hashing large pieces lets other threads run."""
        left = memoryview(piece).cast("B") if len(piece) else memoryview(b"")
        while left:
            part = left[: CHUNK_BYTES - self._filled]
            self._chunk.update(part)
            self._filled += len(part)
            left = left[len(part) :]
            if self._filled == CHUNK_BYTES:
                self._close_chunk()

    def finish(self) -> tuple[bytes, bytes]:
        """Return (body digest, chunk digests of 32 bytes each); the hasher is done."""
        if self._filled:
            self._close_chunk()
        digests = bytes(self._digests)
        return body_digest(digests), digests

    def _close_chunk(self) -> None:
        self._digests += self._chunk.digest()
        self._chunk = hashlib.sha256()
        self._filled = 0


def digest_of(pieces: Iterable[Buffer]) -> bytes:
    """Body digest of the pieces joined."""
    hasher = BodyHasher()
    for piece in pieces:
        hasher.update(piece)
    return hasher.finish()[0]


def length_prefixed(name: str) -> bytes:
    """u16 big-endian length || UTF-8 bytes: how a name enters a digest or an HPKE info."""
    encoded = name.encode()
    return struct.pack(">H", len(encoded)) + encoded


def update_subject(header_payload: bytes) -> bytes:
    """Subject of an update's body: SHA-256 of its Header."""
    return hashlib.sha256(header_payload).digest()


def model_subject(study: str, version: int) -> bytes:
    """Subject of the body of a model version."""
    return _study_subject(b"/model", study, version)


def state_subject(study: str, version: int) -> bytes:
    """Subject of the optimiser's state that belongs to a version."""
    return _study_subject(b"/state", study, version)


def initial_subject(study: str) -> bytes:
    """Subject of version 0 as the registrar uploads it."""
    return _study_subject(b"/initial", study, 0)


def bookmark_subject(study: str, version: int) -> bytes:
    """Subject of what a bookmark keeps for the coordinator alone."""
    return _study_subject(b"/bookmark", study, version)


def evaluation_subject(study: str, site: str, version: int, model: bytes) -> bytes:
    """Subject of what a site measured of a version: nobody can pass it for that of another site or version."""
    names = length_prefixed(study) + length_prefixed(site)
    return hashlib.sha256(LABEL + b"/evaluation" + names + struct.pack(">Q", version) + model).digest()


def _study_subject(what: bytes, study: str, version: int) -> bytes:
    return hashlib.sha256(LABEL + what + length_prefixed(study) + struct.pack(">Q", version)).digest()
