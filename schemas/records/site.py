"""What a site writes: updates with their headers, presence, evaluations."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Self

from schemas.codec import (
    ID,
    INTEGER,
    KEY_ID,
    Blob,
    Digest,
    Id,
    KeyId,
    Many,
    Nested,
    Pair,
    Record,
    Signature,
    Text,
    U,
    Whole,
)
from schemas.records.bodies import BOX_BYTES_MAX, BodyRef, first

HEADER_BYTES_MAX = 1024


def _of(trouble: tuple[str, int, int]) -> tuple[str, int]:
    return trouble[:2]


class SiteState(IntEnum):
    IDLE = 1
    FETCHING = 2
    TRAINING = 3
    SENDING = 4
    PAUSED = 5
    WAITING = 6
    LOADING = 7  # task and data; from schema version 2 of Presence on, as the next one
    FAILING = 8


class Trouble(IntEnum):
    """What fails at a site. TRAINER: trainers lost at work since the service began; the others: failures in a row."""

    TRAINER = 1
    FETCH = 2
    EVALUATE = 3
    TRAIN = 4
    SEAL = 5
    SEND = 6
    REFUSED = 7


@dataclass(frozen=True, slots=True)
class Header(Record):
    """What a site signs as its update (context `update`); travels inside an Offer."""

    KIND: ClassVar[int] = 16
    SIZE_MAX: ClassVar[int] = HEADER_BYTES_MAX
    study: Id
    site: Id
    signing_key: KeyId
    sequence: U
    plan: Digest
    base_version: U
    base_digest: Digest
    trustees: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, KEY_ID)), 3)]
    d: Annotated[int, Whole(1, 2**29)]
    payload_digest: Digest
    cohort_min: Annotated[int, Whole(1, 1024)]

    @classmethod
    def context(cls) -> str:
        return "update"


@dataclass(frozen=True, slots=True)
class Offer(Record):
    """Site -> coordinator, `wardround.offers.<site>`: an update is complete, and where its body lies."""

    KIND: ClassVar[int] = 10
    header: Annotated[bytes, Blob(HEADER_BYTES_MAX)]
    boxes: Annotated[tuple[bytes, ...], Many(Blob(BOX_BYTES_MAX), 3)]
    update_signature: Signature
    body: Annotated[BodyRef, Nested(BodyRef)]


@dataclass(frozen=True, slots=True)
class Presence(Record):
    """Site -> coordinator, `wardround.offers.<site>`: what the site is doing, study by study, and what fails there."""

    KIND: ClassVar[int] = 11
    VERSION: ClassVar[int] = 2
    site: Id
    states: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, Whole(1, 8))), 64, key=first)]
    software: Annotated[str, Text(40)]
    troubles: Annotated[
        tuple[tuple[str, int, int], ...], Many(Pair((ID, Whole(1, 7), Whole(1, 2**31 - 1))), 448, key=_of)
    ] = ()  # (study, Trouble, how often), sorted

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Also reads version 1, which lies on logs: it has no troubles. Raises PeerError for anything else."""
        if payload[:3] != PresenceOfVersion1.BEGINS:
            return super(Presence, cls).from_bytes(payload)
        old = PresenceOfVersion1.from_bytes(payload)
        return cls(old.site, old.states, old.software)


@dataclass(frozen=True, slots=True)
class PresenceOfVersion1(Record):
    """How a Presence was laid out in schema version 1."""

    KIND: ClassVar[int] = Presence.KIND
    BEGINS: ClassVar[bytes] = b"\x95\x0b\x01"  # five values: the kind, the version and three fields
    site: Id
    states: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, Whole(1, 6))), 64, key=first)]
    software: Annotated[str, Text(40)]


@dataclass(frozen=True, slots=True)
class Evaluation(Record):
    """Site -> coordinator, `wardround.offers.<site>`: how one version did on the site's own test patients."""

    KIND: ClassVar[int] = 12
    study: Id
    site: Id
    version: U
    model: Digest
    values: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, INTEGER)), 64, key=first)]  # in 1e-6, sorted
