"""Where bodies lie, and limits and values that records of several writers share."""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import COUNT, Blob, Digest, Id, KeyId, Many, Nested, Pair, Struct, U, Whole

CHUNK_BYTES = 512 * 1024
CHUNKS_MAX = 4096
SITES_MAX = 1024  # in a cohort
MEMBERS_MAX = 4096  # of a federation: as many as a roster names
TRUSTEES_MAX = 3
AUDITORS_MAX = 15
BOX_BYTES_MAX = 1200
READERS_MAX = AUDITORS_MAX + 2  # the coordinator, auditors, the registrar
SEALED_MAX = 400_000


def first(pair: tuple[str, object]) -> str:
    """What pairs are sorted by."""
    return pair[0]


@dataclass(frozen=True, slots=True)
class KeyBox(Struct):
    """A body key sealed to one reader."""

    name: Id  #: whose box it is: a member, or `epoch` for the study key of an epoch
    key_id: KeyId  #: of the key that opens it
    #: the body key, sealed: HPKE (1168 bytes) to a member; nonce and AES-256-GCM (60) under an epoch key
    box: Annotated[bytes, Blob(BOX_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class Sealed(Struct):
    """A few bytes for some readers alone: the key of `content`, sealed to each of them."""

    #: the key of `content`, sealed to each reader
    boxes: Annotated[tuple[KeyBox, ...], Many(Nested(KeyBox), READERS_MAX, low=1)]
    content: Annotated[bytes, Blob(SEALED_MAX)]  #: AES-256-GCM under that key


@dataclass(frozen=True, slots=True)
class BodyRef(Struct):
    """Where a body lies: `runs` of (first_offset, count) on one partition, in chunk order."""

    partition: U  #: of the topic that the body lies on
    size_bytes: Annotated[int, Whole(0, 2**31)]  #: of the plain body
    #: (first offset, count) of chunks that lie in one piece, in chunk order
    runs: Annotated[tuple[tuple[int, int], ...], Many(Pair((COUNT, Whole(1, CHUNKS_MAX))), CHUNKS_MAX)]
    chunk_digests: Annotated[bytes, Blob(32 * CHUNKS_MAX)]  #: SHA-256 of each plain chunk, 32 bytes each, in order
    #: the body key for each reader; empty where the body is not sealed
    boxes: Annotated[tuple[KeyBox, ...], Many(Nested(KeyBox), READERS_MAX)]

    def check(self) -> None:
        count = self.count
        if len(self.chunk_digests) % 32 or count != -(-self.size_bytes // CHUNK_BYTES):
            raise ValueError(
                f"BodyRef: {len(self.chunk_digests)} bytes of digests do not fit a body of {self.size_bytes}"
            )
        if sum(run[1] for run in self.runs) != count:
            raise ValueError(f"BodyRef: the runs do not hold the {count} chunks of the body")

    @property
    def count(self) -> int:
        """Number of chunks."""
        return len(self.chunk_digests) // 32


@dataclass(frozen=True, slots=True)
class BodyAt(Struct):
    """A body by digest, and where it lies."""

    digest: Digest  #: body digest: SHA-256 over the chunk digests
    body: Annotated[BodyRef, Nested(BodyRef)]  #: where its chunks lie
