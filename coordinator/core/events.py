"""What a study's core hears and what it asks for: facts that the shell has verified, and effects in order."""

from dataclasses import dataclass

from schemas.records import Command, Receipt, RequestEntry, Stop, Summary

QUEUE_MAX = 1024  # facts that may wait for a core


@dataclass(frozen=True, slots=True)
class OfferFact:
    """An offer whose signatures verify. `code` names why the shell found it unusable, if it did."""

    site: str
    offset: int  # on the site's offers topic
    sequence: int
    header: bytes  # SHA-256 of the header
    base_version: int
    base_digest: bytes
    plan: bytes
    d: int
    size_bytes: int
    cohort_min: int
    trustees: int
    code: str | None = None


@dataclass(frozen=True, slots=True)
class BodyReady:
    """The body of the site's undecided offer is fetched, verified and within bounds."""

    site: str
    sequence: int
    fetch: int  # the number of the Fetch that this answers


@dataclass(frozen=True, slots=True)
class BodyUnusable:
    """The body cannot be used. Code None: gone or damaged, ask again; otherwise it is refused with the code."""

    site: str
    sequence: int
    code: str | None
    fetch: int  # the number of the Fetch that this answers


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A site measured one version: its primary metric, and the weight of that value; both are finite."""

    site: str
    version: int
    model: bytes
    digest: bytes  # of the Evaluation record
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class SitesChanged:
    """The roster names these sites of the study now."""

    sites: frozenset[str]


@dataclass(frozen=True, slots=True)
class OffersAnew:
    """The site's topic was deleted and made anew: offsets begin again, sequences go on."""

    site: str


@dataclass(frozen=True, slots=True)
class Commanded:
    """Every operator's command that holds now, their serials rising; told again whenever that changes."""

    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The Request asked for by the last Ask is on the log."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """The version asked for by the last Close is made, and its bodies are on the log."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What the last Close asked for cannot be made of this sum, under this code."""

    code: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The Announcement of the version asked for by the last Close is on the log."""

    version: int
    model: bytes


@dataclass(frozen=True, slots=True)
class Undone:
    """The Failed asked for by the last Fail is on the log."""


Event = (
    OfferFact
    | BodyReady
    | BodyUnusable
    | Evaluated
    | SitesChanged
    | OffersAnew
    | Commanded
    | Tick
    | Asked
    | Stepped
    | Wrong
    | Committed
    | Undone
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch and verify the body of this offer, then report BodyReady or BodyUnusable under this number.

    An answer may lie in the queue while the offer is unloaded and fetched anew: under its old number it is no news.
    """

    offer: OfferFact
    number: int  # no two of one core have the same


@dataclass(frozen=True, slots=True)
class Add:
    """Add the fetched body to the running sum, `weight` times; then its memory is free."""

    offer: OfferFact
    weight: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an added body out of the sum again (fetched anew, added -weight times)."""

    offer: OfferFact
    weight: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Stop fetching this offer's body, or forget it: the offer goes on waiting, and is fetched anew later."""

    offer: OfferFact


@dataclass(frozen=True, slots=True)
class Drop:
    """The offer is decided without entering the sum: forget its fetched body, if any."""

    offer: OfferFact


@dataclass(frozen=True, slots=True)
class Decide:
    """Write this receipt, outside a round (at most one transaction a second)."""

    receipt: Receipt
    refused: OfferFact | None


@dataclass(frozen=True, slots=True)
class Cohort:
    """The updates of one round, in the order of their sites; `version` is the one that they make."""

    version: int
    entries: tuple[RequestEntry, ...]
    offers: tuple[OfferFact, ...]

    @property
    def sum_w(self) -> int:
        return sum(entry.weight for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Ask:
    """Upload the cohort's body, write the Request in a transaction of its own, report Asked."""

    cohort: Cohort


@dataclass(frozen=True, slots=True)
class Close:
    """Make the next version of the sum: step and bodies, report Stepped (or Wrong); then the transaction, Committed.

    It holds the Request, where that is not on the log yet, the Announcement and the receipts.
    """

    cohort: Cohort
    receipts: tuple[Receipt, ...]
    evaluations: tuple[tuple[str, bytes], ...]
    patience: int
    stop: Stop
    summary: Summary | None = None

    @property
    def version(self) -> int:
        return self.cohort.version

    @property
    def entries(self) -> tuple[RequestEntry, ...]:
        return self.cohort.entries

    @property
    def sum_w(self) -> int:
        return self.cohort.sum_w

    @property
    def offers(self) -> tuple[OfferFact, ...]:
        return self.cohort.offers


@dataclass(frozen=True, slots=True)
class Fail:
    """The round ends without a version: one transaction as with Close, Failed in it, the receipts say void."""

    cohort: Cohort
    receipts: tuple[Receipt, ...]
    code: str


@dataclass(frozen=True, slots=True)
class End:
    """Announce the newest version once more, as the last one."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop reading this site's offers: too many wait undecided."""

    site: str


@dataclass(frozen=True, slots=True)
class Release:
    """Read this site's offers again."""

    site: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A redelivered offer that is decided already; counted, nothing else."""

    offer: OfferFact


Effect = Fetch | Add | Remove | Unload | Drop | Decide | Ask | Close | Fail | End | Hold | Release | Ignored
