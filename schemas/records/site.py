"""What a site writes: updates with their headers, presence, evaluations."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Self

from schemas.codec import (
    FLOAT8,
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
from schemas.records.bodies import BOX_BYTES_MAX, TRUSTEES_MAX, BodyRef, Sealed, first

HEADER_BYTES_MAX = 1024
VALUES_MAX = 64
VALUE_MAX = 1e100


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
    study: Id  #: study id
    site: Id  #: whose update
    signing_key: KeyId  #: key_id of the key that signed it
    sequence: U  #: counts the updates of a (study, site); a fresh outbox begins at unix seconds times 2^20
    plan: Digest  #: digest of the plan that it was trained under
    base_version: U  #: version that it was trained from
    base_digest: Digest  #: body digest of that version
    #: (name, key_id) of each trustee that has a seed, in the plan's order
    trustees: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, KEY_ID)), TRUSTEES_MAX)]
    d: Annotated[int, Whole(1, 2**29)]  #: coordinates of the update: parameters and auxiliary ones
    payload_digest: Digest  #: body digest of the encoded update, unsealed
    #: the site wants no smaller cohort; between the plan's cohort_min and goal
    cohort_min: Annotated[int, Whole(1, 1024)]

    @classmethod
    def context(cls) -> str:
        return "update"


@dataclass(frozen=True, slots=True)
class Offer(Record):
    """Site -> coordinator, `wardround.offers.<site>`: an update is complete, and where its body lies."""

    KIND: ClassVar[int] = 10
    header: Annotated[bytes, Blob(HEADER_BYTES_MAX)]  #: the Header's bytes
    boxes: Annotated[
        tuple[bytes, ...], Many(Blob(BOX_BYTES_MAX), TRUSTEES_MAX)
    ]  #: a seed for each trustee, in the plan's order
    update_signature: Signature  #: of the site, over header and digests of the boxes (context `update`)
    body: Annotated[BodyRef, Nested(BodyRef)]  #: where the sealed update lies on `wardround.bodies.<site>`


@dataclass(frozen=True, slots=True)
class Presence(Record):
    """Site -> coordinator, `wardround.offers.<site>`: what the site is doing, study by study, and what fails there."""

    KIND: ClassVar[int] = 11
    VERSION: ClassVar[int] = 2
    site: Id  #: who is there
    #: (study, SiteState), by study
    states: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, Whole(1, 8))), 64, key=first)]
    software: Annotated[str, Text(40)]  #: version of the software, for people
    troubles: Annotated[
        tuple[tuple[str, int, int], ...], Many(Pair((ID, Whole(1, 7), Whole(1, 2**31 - 1))), 448, key=_of)
    ] = ()  #: (study, Trouble, how often), sorted; empty where all goes well

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
    site: Id  #: who is there
    #: (study, SiteState up to 6), by study
    states: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, Whole(1, 6))), 64, key=first)]
    software: Annotated[str, Text(40)]  #: version of the software, for people


@dataclass(frozen=True, slots=True)
class Measurements(Record):
    """What a site measured, by name; sealed in an Evaluation, on no topic by itself."""

    KIND: ClassVar[int] = 19
    #: (name, value) by name; of names that the plan lets out
    values: Annotated[tuple[tuple[str, float], ...], Many(Pair((ID, FLOAT8)), VALUES_MAX, key=first)]

    def check(self) -> None:
        absurd = [name for name, value in self.values if abs(value) > VALUE_MAX]
        if absurd:
            raise ValueError(f"{', '.join(absurd)}: beyond {VALUE_MAX:g}, which no metric is")


@dataclass(frozen=True, slots=True)
class Evaluation(Record):
    """Site -> coordinator, `wardround.offers.<site>`: how one version did on the site's own test patients.

    `measured` holds Measurements, for the coordinator and the plan's auditors.
    """

    KIND: ClassVar[int] = 12
    VERSION: ClassVar[int] = 2
    study: Id  #: study id
    site: Id  #: who measured
    version: U  #: of the model
    model: Digest  #: body digest of that version
    measured: Annotated[Sealed, Nested(Sealed)]  #: Measurements, sealed to the coordinator and the plan's auditors


@dataclass(frozen=True, slots=True)
class OpenEvaluation(Record):
    """An Evaluation of schema version 1, as it lies on logs: its values stand in clear, as whole millionths."""

    KIND: ClassVar[int] = 12
    study: Id  #: study id
    site: Id  #: who measured
    version: U  #: of the model
    model: Digest  #: body digest of that version
    #: (name, whole millionths), by name
    values: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, INTEGER)), VALUES_MAX, key=first)]

    @classmethod
    def context(cls) -> str:
        return "evaluation"
