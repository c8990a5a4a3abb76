"""Every record of the wire as a frozen value: who writes it, where it lies, what its fields mean.

Source: the wire table of the design; kinds and field order are fixed, a changed order is a new schema version.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Self, cast

import msgpack

from schemas.codec import (
    COUNT,
    DIGEST,
    F8,
    FLAG,
    ID,
    INTEGER,
    KEY_ID,
    PAYLOAD_MAX,
    Blob,
    Digest,
    Flag,
    Id,
    KeyId,
    Many,
    Maybe,
    MaybeDigest,
    Nested,
    Pair,
    Record,
    Signature,
    Struct,
    Text,
    U,
    Whole,
    unpack_array,
)
from schemas.errors import PeerError

CHUNK_BYTES = 512 * 1024
CHUNKS_MAX = 4096
SITES_MAX = 1024
HEADER_BYTES_MAX = 1024
PUBLIC_BYTES_MAX = 1216
BOX_BYTES_MAX = 1200
PLAN_BYTES_MAX = 65536
RECENT_MAX = 8
RESERVED_NAMES = frozenset({"roster", "registrar"})


class Role(IntEnum):
    SITE = 1
    COORDINATOR = 2
    TRUSTEE = 3
    AUDITOR = 4
    OPERATOR = 5


class KeyUse(IntEnum):
    SIGN = 1
    OPEN = 2


class KeyState(IntEnum):
    ACTIVE = 1
    RETIRED = 2
    REVOKED = 3


class Outcome(IntEnum):
    COUNTED = 1
    REFUSED = 2
    VOID = 3
    AGAIN = 4


class SiteState(IntEnum):
    IDLE = 1
    FETCHING = 2
    TRAINING = 3
    SENDING = 4
    PAUSED = 5
    WAITING = 6


class Action(IntEnum):
    START = 1
    PAUSE = 2
    RESUME = 3
    STOP = 4
    EXCLUDE = 5
    INCLUDE = 6
    CLOSE = 7


class Stop(IntEnum):
    """Why a study ended, in the last Announcement; NONE while it runs."""

    NONE = 0
    VERSIONS = 1
    PATIENCE = 2
    TARGET = 3
    TIME = 4
    OPERATOR = 5


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a Kafka value holds: a payload under its writer's Ed25519 signature. Verify before parsing."""

    key_id: bytes
    payload: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        return cast(bytes, msgpack.packb((self.key_id, self.payload, self.signature)))

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Raises PeerError for anything but `[key_id 16, payload <= 512 KiB, signature 64]`."""
        wire = unpack_array(value, PAYLOAD_MAX + 128, "signed record")
        if len(wire) != 3:
            raise PeerError("a signed record has three parts: key_id, payload, signature")
        try:
            signed = cls(KEY_ID.pack(wire[0]), Blob(PAYLOAD_MAX).pack(wire[1]), Blob(64, exact=True).pack(wire[2]))
        except ValueError as error:
            raise PeerError(f"signed record: {error}") from None
        if signed.to_bytes() != value:
            raise PeerError("signed record in a second encoding")
        return signed


@dataclass(frozen=True, slots=True)
class KeyBox(Struct):
    """A body key sealed to one reader."""

    name: Id
    key_id: KeyId
    box: Annotated[bytes, Blob(BOX_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class BodyRef(Struct):
    """Where a body lies: `runs` of (first_offset, count) on one partition, in chunk order."""

    partition: U
    size_bytes: Annotated[int, Whole(0, 2**31)]
    runs: Annotated[tuple[tuple[int, int], ...], Many(Pair((COUNT, Whole(1, CHUNKS_MAX))), CHUNKS_MAX)]
    chunk_digests: Annotated[bytes, Blob(32 * CHUNKS_MAX)]
    boxes: Annotated[tuple[KeyBox, ...], Many(Nested(KeyBox), 17)]

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

    digest: Digest
    body: Annotated[BodyRef, Nested(BodyRef)]


@dataclass(frozen=True, slots=True)
class MemberKey(Struct):
    """One public key of a member; `public` is 32 bytes (Ed25519) to sign, 1216 (ML-KEM-768 || X25519) to open."""

    use: Annotated[int, Whole(1, 2)]
    key_id: KeyId
    public: Annotated[bytes, Blob(PUBLIC_BYTES_MAX)]
    state: Annotated[int, Whole(1, 3)]


@dataclass(frozen=True, slots=True)
class Member(Record):
    """Registrar -> all, `wardround.members`, key = name: one institution and its keys."""

    KIND: ClassVar[int] = 1
    name: Id
    institution: Annotated[str, Text(120)]
    studies: Annotated[tuple[str, ...], Many(ID, 64, key=str)]  # empty = all
    roles: Annotated[tuple[int, ...], Many(Whole(1, 5), 5, key=int)]
    keys: Annotated[tuple[MemberKey, ...], Many(Nested(MemberKey), 16)]

    def check(self) -> None:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"Member.name: `{self.name}` is reserved")


@dataclass(frozen=True, slots=True)
class Roster(Record):
    """Registrar -> all, `wardround.members`, key `roster`: who belongs, by digest of the Member records."""

    KIND: ClassVar[int] = 2
    serial: U
    members: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), 4096, key=_first)]


@dataclass(frozen=True, slots=True)
class PlanRecord(Record):
    """Registrar -> all, `wardround.plans`, key = plan digest: the plan's bytes and where version 0 lies."""

    KIND: ClassVar[int] = 3
    study: Id
    plan: Annotated[bytes, Blob(PLAN_BYTES_MAX)]
    initial: Annotated[BodyRef | None, Maybe(Nested(BodyRef))]


@dataclass(frozen=True, slots=True)
class EpochKey(Record):
    """Coordinator -> members, `.keys`, key `<epoch>/<member>`: the study key of an epoch, sealed to one member."""

    KIND: ClassVar[int] = 4
    study: Id
    epoch: U
    member: Id
    key_id: KeyId
    box: Annotated[bytes, Blob(BOX_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class Announcement(Record):
    """Coordinator -> all, `.rounds`, transactional: version `version` exists; with `request` it ends that Request."""

    KIND: ClassVar[int] = 5
    study: Id
    index: U
    previous: Digest
    version: U
    plan: Digest
    roster_serial: U
    roster: Digest
    key_epoch: U
    request: MaybeDigest
    partial_sums: Annotated[tuple[bytes, ...], Many(DIGEST, 3)]
    sum: MaybeDigest
    n: U
    sum_w: U
    model: Annotated[BodyAt, Nested(BodyAt)]
    state: Annotated[BodyAt | None, Maybe(Nested(BodyAt))]
    evaluations: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), SITES_MAX, key=_first)]
    patience: U
    stop: Annotated[int, Whole(0, 5)]
    final: Flag


@dataclass(frozen=True, slots=True)
class RequestEntry(Struct):
    """One update of a cohort; `header` is SHA-256 of the Offer's header, `weight` in 16ths."""

    site: Id
    sequence: U
    header: Digest
    weight: Annotated[int, Whole(4, 16)]


def _entry_site(entry: RequestEntry) -> str:
    return entry.site


@dataclass(frozen=True, slots=True)
class Request(Record):
    """Coordinator -> all, `.rounds`, transactional: the binding choice of a cohort for one aggregate."""

    KIND: ClassVar[int] = 6
    study: Id
    index: U
    previous: Digest
    version: U
    plan: Digest
    roster_serial: U
    roster: Digest
    entries: Annotated[tuple[RequestEntry, ...], Many(Nested(RequestEntry), SITES_MAX, low=1, key=_entry_site)]
    cohort: Annotated[BodyAt, Nested(BodyAt)]
    after_refusal: Annotated[bytes | None, Maybe(Blob(131072))]


@dataclass(frozen=True, slots=True)
class AskAgain(Record):
    """Coordinator -> trustees, `.rounds`: answer the open Request with the stored bytes."""

    KIND: ClassVar[int] = 7
    study: Id
    index: U
    previous: Digest
    request: Digest
    trustees: Annotated[tuple[str, ...], Many(ID, 3, low=1)]


@dataclass(frozen=True, slots=True)
class Failed(Record):
    """Coordinator -> all, `.rounds`, transactional: the Request ended without a version; its cohort is void."""

    KIND: ClassVar[int] = 8
    study: Id
    index: U
    previous: Digest
    request: Digest
    code: Id
    names: Annotated[tuple[str, ...], Many(ID, SITES_MAX)]


@dataclass(frozen=True, slots=True)
class Decided(Struct):
    """One earlier outcome, as a Receipt remembers it."""

    sequence: U
    outcome: Annotated[int, Whole(1, 4)]
    code: Annotated[str | None, Maybe(ID)]
    version: Annotated[int | None, Maybe(COUNT)]
    weight: Annotated[int, Whole(0, 16)]


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """Coordinator -> site, `.receipts`, key = site, transactional: what became of an offer, and where to read on."""

    KIND: ClassVar[int] = 9
    study: Id
    site: Id
    sequence: U
    outcome: Annotated[int, Whole(1, 4)]
    code: Annotated[str | None, Maybe(ID)]
    version: Annotated[int | None, Maybe(COUNT)]  # the version it was counted into
    weight: Annotated[int, Whole(0, 16)]
    next_offset: U
    recent: Annotated[tuple[Decided, ...], Many(Nested(Decided), RECENT_MAX)]


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
    """Site -> coordinator, `wardround.offers.<site>`: what the site is doing, study by study."""

    KIND: ClassVar[int] = 11
    site: Id
    states: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, Whole(1, 6))), 64, key=_first)]
    software: Annotated[str, Text(40)]


@dataclass(frozen=True, slots=True)
class Evaluation(Record):
    """Site -> coordinator, `wardround.offers.<site>`: how one version did on the site's own test patients."""

    KIND: ClassVar[int] = 12
    study: Id
    site: Id
    version: U
    model: Digest
    values: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, INTEGER)), 64, key=_first)]  # in 1e-6, sorted


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """Trustee -> coordinator, `.trustee.<name>`: whether it will sum over a Request."""

    KIND: ClassVar[int] = 13
    study: Id
    trustee: Id
    index: U
    previous: Digest
    request: Digest
    accepted: Annotated[bool, FLAG]
    code: Annotated[str | None, Maybe(ID)]
    sites: Annotated[tuple[str, ...], Many(ID, SITES_MAX)]


@dataclass(frozen=True, slots=True)
class PartialSum(Record):
    """Trustee -> coordinator, `.trustee.<name>`: its masks summed over a Request, and where the sum lies."""

    KIND: ClassVar[int] = 14
    study: Id
    trustee: Id
    index: U
    previous: Digest
    request: Digest
    noise_std: F8
    digest: Digest
    body: Annotated[BodyRef, Nested(BodyRef)]


@dataclass(frozen=True, slots=True)
class Command(Record):
    """Operator -> coordinator, `.commands`: signed, so that a successor obeys it too."""

    KIND: ClassVar[int] = 15
    study: Id
    serial: U
    action: Annotated[int, Whole(1, 7)]
    site: Annotated[str | None, Maybe(ID)]  # whom to exclude or include
    version: Annotated[int | None, Maybe(COUNT)]  # the newest version of the round to close: it means no later round
    reason: Annotated[str, Text(200)]

    def check(self) -> None:
        if (self.site is not None) != (self.action in (Action.EXCLUDE, Action.INCLUDE)):
            raise ValueError("Command.site: exclude and include name a site, nothing else does")
        if (self.version is not None) != (self.action == Action.CLOSE):
            raise ValueError("Command.version: closing a round names a version, nothing else does")


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


RECORDS: tuple[type[Record], ...] = (
    Member, Roster, PlanRecord, EpochKey, Announcement, Request, AskAgain, Failed, Receipt,
    Offer, Presence, Evaluation, Verdict, PartialSum, Command, Header,
)  # fmt: skip


def kind_of(payload: bytes) -> int:
    """The kind an encoded record claims to be, read from its first bytes; 0 when there is none."""
    if len(payload) < 2 or not (0x90 <= payload[0] <= 0x9F or payload[0] == 0xDC):
        return 0
    at = 3 if payload[0] == 0xDC else 1
    return payload[at] if len(payload) > at and payload[at] < 0x80 else 0
