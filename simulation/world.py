"""A federation on virtual time: production's cores, simulated shells and log; one seed, one history, bit for bit.

How to use it
    plan      any valid Plan; sites are SiteSpec values (name, train_ms, spread, rates, latency, windows, floor)
    world = World(plan, sites, seed=7)                      # nothing is learnt: 1,000 sites x 100 versions take seconds
    outcome = world.run(until_version=100, until_ms=7 * 24 * 3_600_000)

    World(..., learner=Learner(initial, train, measure))    # really learns: train(site, base) -> update, numpy float32
    World(..., observers=[mine])                            # subclass Observer: on_version, on_counted, on_refused,
                                                            # on_trained, on_bytes, on_measured, on_settled ...
    SiteSpec("a", windows=((0, 3_600_000), ...))            # connectivity: the link is there within these alone
    World(..., costs=Costs(step_ms=200), coordinators=2)    # how long the framework itself takes; standbys

`run` may be called again with later bounds: the history goes on where it stopped. It returns an Outcome: version, time,
whether the study is over, and the digest of the whole history, which is the same for the same arguments. `world.sites`
shows each site's state, `world.model()` the newest model (with its vector where a learner was given).

Knows:    processes, log, links, who is told what.
Never:    reads a clock, randomness that the seed does not give, or a file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from protocol.rounds import RoundsRecord
from schemas.plan import Plan
from schemas.records import Action, Announcement, Command, Receipt
from simulation.clock import NEVER_MS, Clock
from simulation.coordinator import Coordinator
from simulation.election import Election
from simulation.link import Link, Span, outside
from simulation.log import Log
from simulation.observe import Observer
from simulation.process import Process
from simulation.records import Model, OfferTopicRecord, SentEvaluation, SentOffer
from simulation.site import Site, SiteSpec
from simulation.story import Story
from simulation.vectors import Learner, RealVectors, UnitVectors, Vectors


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a history stands. `digest` names it: the same arguments give the same digest."""

    version: int
    now_ms: int
    final: bool
    digest: str
    events: int


class World:
    """One history of one study."""

    def __init__(
        self,
        plan: Plan,
        sites: Iterable[SiteSpec],
        *,
        seed: int,
        learner: Learner | None = None,
        observers: Sequence[Observer] = (),
        costs: Costs | None = None,
        coordinators: int = 1,
        rogues: Sequence[str] = (),
        measure: Callable[[str, int], tuple[float, float]] | None = None,
        disorder_ms: int = 0,
        spans: Iterable[tuple[str, Span]] = (),
    ) -> None:
        """`spans`: (process, span) of links that are not as they should be; `disorder_ms` delays each topic.

        rogues    members with topics and without a participant
        measure   (site, version) -> primary metric and its weight, where nothing is learnt
        """
        self.plan, self.seed, self.costs, self.disorder_ms = plan, seed, costs or Costs(), disorder_ms
        self.plan_digest = plan.digest
        self.clock = Clock()
        self.story = Story(self.clock, observers)
        self.vectors: Vectors = RealVectors(plan, learner) if learner else UnitVectors(plan, measure)
        self.version, self.final = -1, False
        specs = sorted(sites, key=lambda spec: spec.name)
        self._rogues = tuple(rogues)
        self._digests: dict[int, bytes] = {}
        self.was_away: set[str] = set()  # members that the roster has left out at some time
        self.was_excluded: set[str] = set()  # and those whom an operator has
        self.commands: list[Command] = []
        self.log = Log([*(spec.name for spec in specs), *rogues])
        self.election = Election(self)
        faulty: dict[str, list[Span]] = {}
        for name, span in spans:
            faulty.setdefault(name, []).append(span)
        rate = self.costs.coordinator_bytes_s
        self.coordinators = {
            name: Coordinator(self, name, Link(1, rate, rate, faulty.get(name, [])))
            for name in (f"coordinator-{number + 1}" for number in range(coordinators))
        }
        self.sites = {spec.name: Site(self, spec, _link(spec, faulty.get(spec.name, []))) for spec in specs}
        for process in self.processes.values():
            process.start()

    @property
    def processes(self) -> dict[str, Process]:
        return {**self.coordinators, **self.sites}

    def run(self, *, until_version: int = NEVER_MS, until_ms: int = NEVER_MS) -> Outcome:
        """Let time pass until the version is announced, the time has come, or nothing is left to happen."""
        clock = self.clock
        while self.version < until_version and clock.next_ms() <= min(until_ms, NEVER_MS - 1):
            clock.step()
        if self.version < until_version and until_ms < NEVER_MS:
            clock.now_ms = max(clock.now_ms, until_ms)
        return Outcome(self.version, clock.now_ms, self.final, self.story.digest(), clock.calls)

    def model(self) -> Model | None:
        """The newest version's model; None before version 0."""
        models = self.log.models
        for offset in range(models.end - 1, models.start - 1, -1):
            model = models.get(offset)
            if model is not None and model.version == self.version:
                return model
        return None

    def members(self) -> list[str]:
        """The sites that the roster lists, sorted."""
        return sorted([*(name for name, site in self.sites.items() if site.member), *self._rogues])

    def digest_of(self, version: int) -> bytes:
        """The model digest of an announced version; zeros when there is none."""
        return self._digests.get(version, bytes(32))

    # -- what processes do to the log

    def append(self, site: str, record: OfferTopicRecord) -> int:
        """A record is on a site's offers topic; returns its offset. Coordinators read it when it has come to them."""
        offset = self.log.offers[site].append(record)
        if isinstance(record, SentOffer):
            self.story.offered(site, offset, record)
        elif isinstance(record, SentEvaluation):
            self.story.evaluation(record.fact)
        for node in self.coordinators.values():
            if node.run is not None:
                node.run.reader.wake(site)
        return offset

    def committed(self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt]) -> None:
        """A transaction is visible: everybody whom it concerns reads it when it has come over the link."""
        announced = next((one for one in records if isinstance(one, Announcement)), None)
        new = announced is not None and announced.version > self.version
        if announced is not None:
            self.version, self.final = announced.version, announced.final
            self._digests[announced.version] = announced.model.digest
        self.story.committed(records, receipts, announced, new)
        self._wake(self.sites if records else [receipt.site for receipt in receipts], rounds=bool(records))

    def shown(self) -> None:
        """What had happened and could not be read is visible now."""
        self._wake(self.sites, rounds=True)

    def _wake(self, names: Iterable[str], *, rounds: bool) -> None:
        for name in names:
            site = self.sites.get(name)
            if site is not None and site.joined:
                site.follower.wake(rounds=rounds, receipts=True)

    # -- what people do

    def command(self, action: Action, *, site: str | None = None, version: int | None = None) -> None:
        """An operator's command is on the log; whoever leads reads it a moment later."""
        self.commands.append(Command(self.plan.study, len(self.commands), action, site, version, "a history"))
        if action == Action.EXCLUDE and site is not None:
            self.was_excluded.add(site)
        for node in self.coordinators.values():
            self.clock.at(node.link.fetched_ms(self.clock.now_ms, 0), node, node.commanded)

    def change_members(self, site: str, member: bool) -> None:
        """The registrar's roster lists a site, or does not any more; everybody reads that."""
        if not member:
            self.was_away.add(site)
        self.sites[site].member = member
        for process in self.processes.values():
            self.clock.after(0, process, process.membership_changed)


def _link(spec: SiteSpec, faulty: list[Span]) -> Link:
    windows = [] if spec.windows is None else outside(spec.windows)
    return Link(spec.latency_ms, spec.up_bytes_s, spec.down_bytes_s, [*windows, *faulty])
