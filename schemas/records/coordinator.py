"""What the coordinator writes: epoch keys, the decision log of a study, receipts."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, ClassVar, Self

from schemas.codec import (
    COUNT,
    DIGEST,
    F8,
    FLOAT8,
    ID,
    Blob,
    Codec,
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
    Struct,
    U,
    Whole,
)
from schemas.records.bodies import BOX_BYTES_MAX, SITES_MAX, BodyAt, Sealed, first

RECENT_MAX = 8
SUMMARY_SITES_MIN = 3  # of two sites each would know what the other measured
POSITIONS_MAX = 4096  # as many as a roster names


class Stop(IntEnum):
    """Why a study ended, in the last Announcement; NONE while it runs."""

    NONE = 0
    VERSIONS = 1
    PATIENCE = 2
    TARGET = 3
    TIME = 4
    OPERATOR = 5


class Outcome(IntEnum):
    COUNTED = 1
    REFUSED = 2
    VOID = 3
    AGAIN = 4


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
class Summary(Struct):
    """What everybody may know of the measurements of one version: how many sites, and the value of all together."""

    sites: Annotated[int, Whole(SUMMARY_SITES_MIN, SITES_MAX)]
    value: F8  # of the primary metric


@dataclass(frozen=True, slots=True)
class Announcement(Record):
    """Coordinator -> all, `.rounds`, transactional: version `version` exists; with `request` it ends that Request.

    `evaluations` and `summary` are of the version before; fewer sites than SUMMARY_SITES_MIN are not summed up.
    """

    KIND: ClassVar[int] = 5
    VERSION: ClassVar[int] = 2
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
    evaluations: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), SITES_MAX, key=first)]
    patience: U
    stop: Annotated[int, Whole(0, 5)]
    final: Flag
    summary: Annotated[Summary | None, Maybe(Nested(Summary))] = None


class AnnouncementOfVersion1(Announcement):
    """One without a summary, as it lies on logs."""

    __slots__ = ()
    VERSION: ClassVar[int] = 1
    OLDER: ClassVar[dict[int, type[Record]]] = {}

    @classmethod
    def context(cls) -> str:
        return Announcement.context()

    @classmethod
    def _fields(cls) -> tuple[tuple[str, Codec], ...]:
        return Announcement._fields()[:-1]

    @classmethod
    def _from_wire(cls, wire: Any) -> Self:
        value = super()._from_wire(wire)
        object.__setattr__(value, "summary", None)
        return value


Announcement.OLDER = {AnnouncementOfVersion1.VERSION: AnnouncementOfVersion1}


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

    @property
    def decided(self) -> int:
        """The highest sequence that is decided for good, -1 for none: of a site's receipts it never falls."""
        last = Decided(self.sequence, self.outcome, self.code, self.version, self.weight)
        final = (one.sequence for one in (*self.recent, last) if one.outcome != Outcome.AGAIN)
        return max(final, default=-1)

    def is_older_than(self, known: "Receipt | None") -> bool:
        """Whether `known` overtook it: copied to the end of the log, it would have updates decided twice."""
        return known is not None and self.decided < known.decided


@dataclass(frozen=True, slots=True)
class Measured(Struct):
    """What a coordinator heard of the newest version: a site's Evaluation, by its digest, and what it says."""

    site: Id
    digest: Digest
    value: F8  # of the primary metric
    weight: F8


def _measured_site(measured: Measured) -> str:
    return measured.site


@dataclass(frozen=True, slots=True)
class Memory(Record):
    """What a coordinator heard of the sites' measurements; sealed in a Bookmark, on no topic by itself.

    best         the best value of all sites together when the newest version was announced
    without      the same without one site, by that one
    evaluations  those of the newest version
    """

    KIND: ClassVar[int] = 18
    best: Annotated[float | None, Maybe(FLOAT8)] = None
    without: Annotated[tuple[tuple[str, float], ...], Many(Pair((ID, FLOAT8)), POSITIONS_MAX, key=first)] = ()
    evaluations: Annotated[tuple[Measured, ...], Many(Nested(Measured), SITES_MAX, key=_measured_site)] = ()


@dataclass(frozen=True, slots=True)
class Bookmark(Record):
    """Coordinator -> its successor, `.bookmark`, key = study: from where offers are to be read, and what was read.

    Whatever lies before a position is decided on the log, or of no use to this study any more, but for what stands
    in `memory`, a sealed Memory that the coordinator alone can open; `version` was the newest.
    """

    KIND: ClassVar[int] = 17
    VERSION: ClassVar[int] = 2
    study: Id
    plan: Digest
    version: U
    positions: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, COUNT)), POSITIONS_MAX, key=first)]
    memory: Annotated[Sealed, Nested(Sealed)]
