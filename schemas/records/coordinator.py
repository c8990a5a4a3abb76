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
from schemas.records.bodies import BOX_BYTES_MAX, MEMBERS_MAX, SITES_MAX, TRUSTEES_MAX, BodyAt, Sealed, first
from schemas.staleness import WEIGHT_FULL, WEIGHT_LEAST

RECENT_MAX = 8
SUMMARY_SITES_MIN = 3  # of two sites each would know what the other measured


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
    study: Id  #: study id
    epoch: U  #: counts from 0; a new one when a member leaves
    member: Id  #: who can open it
    key_id: KeyId  #: of the member's HPKE key
    box: Annotated[bytes, Blob(BOX_BYTES_MAX)]  #: the study key of the epoch, sealed to that key


@dataclass(frozen=True, slots=True)
class Summary(Struct):
    """What everybody may know of the measurements of one version: how many sites, and the value of all together."""

    sites: Annotated[int, Whole(SUMMARY_SITES_MIN, SITES_MAX)]  #: how many sites measured
    value: F8  #: of the primary metric, all sites together


@dataclass(frozen=True, slots=True)
class Announcement(Record):
    """Coordinator -> all, `.rounds`, transactional: version `version` exists; with `request` it ends that Request.

    `evaluations` and `summary` are of the version before; fewer sites than SUMMARY_SITES_MIN are not summed up.
    """

    KIND: ClassVar[int] = 5
    VERSION: ClassVar[int] = 2
    study: Id  #: study id
    index: U  #: the record's place in `.rounds`, from 0
    previous: Digest  #: digest of the record before it; zeros for the first
    version: U  #: the newest version, from 0; the same again under a new epoch, or as the last one
    plan: Digest  #: digest of the plan
    roster_serial: U  #: of the roster that held
    roster: Digest  #: digest of that Roster
    key_epoch: U  #: whose study key opens the model's box
    request: MaybeDigest  #: digest of the Request that it ends; none where no cohort made the version
    #: digests of the trustees' PartialSums, in the plan's order; empty without trustees
    partial_sums: Annotated[tuple[bytes, ...], Many(DIGEST, TRUSTEES_MAX)]
    sum: MaybeDigest  #: body digest of the weighted sum; none without a cohort
    n: U  #: updates in the cohort
    sum_w: U  #: their weights together, in 16ths
    model: Annotated[BodyAt, Nested(BodyAt)]  #: float32 little-endian, p values; sealed under the epoch key
    #: the server optimiser's vectors, sealed to the coordinator and the auditors; none where it has none
    state: Annotated[BodyAt | None, Maybe(Nested(BodyAt))]
    #: (site, digest) of the Evaluations of the version before that were heard, by site
    evaluations: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), SITES_MAX, key=first)]
    patience: U  #: versions without progress so far
    stop: Annotated[int, Whole(0, 5)]  #: why the study ended, see Stop; 0: it has not
    final: Flag  #: whether this is the last version
    #: of the measurements of the version before; none of fewer than three sites
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

    site: Id  #: whose update
    sequence: U  #: which of its updates
    header: Digest  #: digest of the Header in its Offer
    weight: Annotated[int, Whole(WEIGHT_LEAST, WEIGHT_FULL)]  #: by staleness, in 16ths


def _entry_site(entry: RequestEntry) -> str:
    return entry.site


@dataclass(frozen=True, slots=True)
class Request(Record):
    """Coordinator -> all, `.rounds`, transactional: the binding choice of a cohort for one aggregate."""

    KIND: ClassVar[int] = 6
    study: Id  #: study id
    index: U  #: the record's place in `.rounds`, from 0
    previous: Digest  #: digest of the record before it; zeros for the first
    version: U  #: the newest version, whose round this cohort ends
    plan: Digest  #: digest of the plan
    roster_serial: U  #: of the roster that held
    roster: Digest  #: digest of that Roster
    #: the cohort, by site
    entries: Annotated[tuple[RequestEntry, ...], Many(Nested(RequestEntry), SITES_MAX, low=1, key=_entry_site)]
    cohort: Annotated[BodyAt, Nested(BodyAt)]  #: the CohortBody that explains it, in plain chunks
    #: a trustee's Signed Verdict that took an update out of the cohort before; none otherwise
    after_refusal: Annotated[bytes | None, Maybe(Blob(131072))]


@dataclass(frozen=True, slots=True)
class AskAgain(Record):
    """Coordinator -> trustees, `.rounds`: answer the open Request with the stored bytes."""

    KIND: ClassVar[int] = 7
    study: Id  #: study id
    index: U  #: the record's place in `.rounds`, from 0
    previous: Digest  #: digest of the record before it; zeros for the first
    request: Digest  #: digest of the open Request
    trustees: Annotated[tuple[str, ...], Many(ID, TRUSTEES_MAX, low=1)]  #: who is asked


@dataclass(frozen=True, slots=True)
class Failed(Record):
    """Coordinator -> all, `.rounds`, transactional: the Request ended without a version; its cohort is void."""

    KIND: ClassVar[int] = 8
    study: Id  #: study id
    index: U  #: the record's place in `.rounds`, from 0
    previous: Digest  #: digest of the record before it; zeros for the first
    request: Digest  #: digest of the Request that ended
    code: Id  #: why: `range`, `examples`, `gone`, `malformed`, `trustee-lost` or `operator`
    names: Annotated[tuple[str, ...], Many(ID, SITES_MAX)]  #: who is suspected: the sites of the cohort


@dataclass(frozen=True, slots=True)
class Decided(Struct):
    """One earlier outcome, as a Receipt remembers it."""

    sequence: U  #: which update
    outcome: Annotated[int, Whole(1, 4)]  #: see Outcome
    code: Annotated[str | None, Maybe(ID)]  #: why it was refused; none otherwise
    version: Annotated[int | None, Maybe(COUNT)]  #: the version it was counted into; none otherwise
    weight: Annotated[int, Whole(0, WEIGHT_FULL)]  #: with which it counted, in 16ths; 0 where it did not


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """Coordinator -> site, `.receipts`, key = site, transactional: what became of an offer, and where to read on."""

    KIND: ClassVar[int] = 9
    study: Id  #: study id
    site: Id  #: whose offer
    sequence: U  #: which update; a final receipt decides every lower one too
    outcome: Annotated[int, Whole(1, 4)]  #: see Outcome; all but `again` are final
    #: why: `duplicate`, `stranger`, `revoked`, `excluded`, `plan`, `stale`, `floor`, `trustees`, `malformed`, `box`,
    #: `epoch`, `range` or `final`; one that is not known is shown as it is
    code: Annotated[str | None, Maybe(ID)]
    version: Annotated[int | None, Maybe(COUNT)]  #: the version it was counted into; none otherwise
    weight: Annotated[int, Whole(0, WEIGHT_FULL)]  #: with which it counted, in 16ths; 0 where it did not
    next_offset: U  #: of the site's offers: from where a successor reads on
    recent: Annotated[
        tuple[Decided, ...], Many(Nested(Decided), RECENT_MAX)
    ]  #: the last outcomes, this one last, the newest final one always among them

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

    site: Id  #: who measured
    digest: Digest  #: of its Evaluation
    value: F8  #: of the primary metric
    weight: F8  #: of the site in an overall figure, by the plan's `weight`


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
    #: of all sites together when the newest version was announced; none before any was heard
    best: Annotated[float | None, Maybe(FLOAT8)] = None
    #: (site, the same without it), by site
    without: Annotated[tuple[tuple[str, float], ...], Many(Pair((ID, FLOAT8)), MEMBERS_MAX, key=first)] = ()
    #: what was heard of the newest version, by site
    evaluations: Annotated[tuple[Measured, ...], Many(Nested(Measured), SITES_MAX, key=_measured_site)] = ()


@dataclass(frozen=True, slots=True)
class Bookmark(Record):
    """Coordinator -> its successor, `.bookmark`, key = study: from where offers are to be read, and what was read.

    Whatever lies before a position is decided on the log, or of no use to this study any more, but for what stands
    in `memory`, a sealed Memory that the coordinator alone can open; `version` was the newest.
    """

    KIND: ClassVar[int] = 17
    VERSION: ClassVar[int] = 2
    study: Id  #: study id
    plan: Digest  #: digest of the plan
    version: U  #: the newest version when it was written
    #: (site, offset of its offers to read from), by site
    positions: Annotated[tuple[tuple[str, int], ...], Many(Pair((ID, COUNT)), MEMBERS_MAX, key=first)]
    memory: Annotated[Sealed, Nested(Sealed)]  #: a Memory that the coordinator alone can open
