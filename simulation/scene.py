"""What all processes of one history share: time, chance, the log, what things cost, and who hears of what.

Knows:    the newest version and whom the roster lists; who has to be told when something new lies on the log.
Never:    knows a process: whoever wants to hear says so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from protocol.rounds import RoundsRecord
from schemas.plan import Plan
from schemas.records import Announcement, Command, Receipt
from simulation.log import Log
from simulation.records import OfferTopicRecord, SentEvaluation, SentOffer
from simulation.roster import Roster, Said, holding
from simulation.story import Story
from simulation.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Costs:
    """What the framework's own work takes, and what it may hold in memory."""

    step_ms: int = 20
    transaction_ms: int = 20
    restore_ms: int = 200
    election_ms: int = 2_000
    seal_ms: int = 20
    load_ms: int = 500
    restart_ms: int = 1_000
    coordinator_bytes_s: float = 1.25e8
    spool_bytes: int = 1 << 26  # of fetched bodies, in the coordinator


@dataclass(slots=True)
class Hearers:
    """Who is told of what is new on the log, and reads it when it has come over its link.

    offers     called with the site on whose offers topic there is a record more
    decided    by site: called when `rounds` (True), or its receipts alone (False), have something new
    """

    offers: list[Callable[[str], None]] = field(default_factory=list)
    decided: dict[str, Callable[[bool], None]] = field(default_factory=dict)


class Scene:
    """One history's. `version` and `final` are those of the newest Announcement that anybody can read; -1: none."""

    def __init__(
        self,
        plan: Plan,
        *,
        sites: Sequence[str],
        rogues: Sequence[str],
        seed: int,
        costs: Costs,
        story: Story,
        vectors: Vectors,
        disorder_ms: int,
        asks_apart: bool | None = None,
    ) -> None:
        """`rogues`: members without a participant; `disorder_ms` delays each topic by as much at most.

        asks_apart   whether coordinators commit a Request before its end; None: as the plan says
        """
        self.plan, self.plan_digest = plan, plan.digest
        self.seed, self.costs, self.disorder_ms, self.asks_apart = seed, costs, disorder_ms, asks_apart
        self.clock, self.story, self.vectors = story.clock, story, vectors
        self.sites = tuple(sorted(sites))  # those with a participant
        self.log = Log([*self.sites, *rogues])
        self.hearers = Hearers()
        self.version, self.final = -1, False
        self.roster = Roster.of([*self.sites, *rogues])  # as it is now; processes read it when it has come to them
        self.said: list[Said] = []
        self._digests: dict[int, bytes] = {}

    def members(self) -> list[str]:
        """The sites that the roster lists, sorted."""
        return sorted(self.roster.sites)

    @property
    def commands(self) -> tuple[Command, ...]:
        """Those that hold by the roster as it is now."""
        return holding(self.said, self.roster)

    def digest_of(self, version: int) -> bytes:
        """The model digest of an announced version; zeros when there is none."""
        return self._digests.get(version, bytes(32))

    def append(self, site: str, record: OfferTopicRecord) -> int:
        """A record is on a site's offers topic; returns its offset. Coordinators read it when it has come to them."""
        offset = self.log.offers[site].append(record)
        if isinstance(record, SentOffer):
            self.story.offered(site, offset, record)
        elif isinstance(record, SentEvaluation):
            self.story.evaluation(record.fact)
        for hear in self.hearers.offers:
            hear(site)
        return offset

    def renew(self, site: str) -> None:
        """A site's offers topic is made anew; its coordinator hears of that when it reads on."""
        self.log.offers[site].renew()
        for hear in self.hearers.offers:
            hear(site)

    def committed(self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt]) -> None:
        """A transaction is visible: everybody whom it concerns reads it when it has come over the link."""
        announced = next((one for one in records if isinstance(one, Announcement)), None)
        new = announced is not None and announced.version > self.version
        if announced is not None:
            self.version, self.final = announced.version, announced.final
            self._digests[announced.version] = announced.model.digest
        self.story.committed(records, receipts, announced, new)
        if records:
            self.shown()
        else:
            self._tell((receipt.site for receipt in receipts), rounds=False)

    def shown(self) -> None:
        """What had happened and could not be read is visible now."""
        self._tell(self.hearers.decided, rounds=True)

    def _tell(self, sites: Iterable[str], *, rounds: bool) -> None:
        for site in sites:
            hear = self.hearers.decided.get(site)
            if hear is not None:
                hear(rounds)
