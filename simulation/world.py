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

from schemas.plan import Plan
from schemas.records import Action, Command
from simulation.clock import NEVER_MS, Clock
from simulation.coordinator import Coordinator
from simulation.election import Election
from simulation.link import Link, Span, outside
from simulation.log import Log
from simulation.observe import Observer
from simulation.premises import SiteSpec
from simulation.process import Process
from simulation.records import Model
from simulation.roster import Roster, Said
from simulation.scene import Costs, Scene
from simulation.site import Site
from simulation.story import Story
from simulation.vectors import Learner, RealVectors, UnitVectors


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
        asks_apart: bool | None = None,
    ) -> None:
        """`spans`: (process, span) of links that are not as they should be; `disorder_ms` delays each topic.

        rogues    members with topics and without a participant
        measure   (site, version) -> primary metric and its weight, where nothing is learnt
        asks_apart  whether coordinators commit a Request before its end; None: as the plan says
        """
        specs = sorted(sites, key=lambda spec: spec.name)
        self.scene = Scene(
            plan,
            sites=[spec.name for spec in specs],
            rogues=rogues,
            seed=seed,
            costs=costs or Costs(),
            story=Story(Clock(), observers),
            vectors=RealVectors(plan, learner) if learner else UnitVectors(plan, measure),
            disorder_ms=disorder_ms,
            asks_apart=asks_apart,
        )
        self.was_away: set[str] = set()  # members that the roster has left out at some time
        self.was_excluded: set[str] = set()  # and those whom an operator has
        self.election = Election(self.scene)
        faulty = _by_process(spans)
        self.coordinators = {name: self._coordinator(name, faulty.get(name, [])) for name in _names(coordinators)}
        self.sites = {spec.name: Site(self.scene, spec, _link(spec, faulty.get(spec.name, []))) for spec in specs}
        self.scene.hearers.offers += [node.offered for node in self.coordinators.values()]
        self.scene.hearers.decided |= {name: site.decided for name, site in self.sites.items()}
        for process in self.processes.values():
            process.start()

    def _coordinator(self, name: str, faulty: Sequence[Span]) -> Coordinator:
        rate = self.scene.costs.coordinator_bytes_s
        return Coordinator(self.scene, self.election, name, Link(1, rate, rate, faulty))

    @property
    def clock(self) -> Clock:
        return self.scene.clock

    @property
    def log(self) -> Log:
        return self.scene.log

    @property
    def version(self) -> int:
        """The newest version that anybody can read; -1: none."""
        return self.scene.version

    @property
    def final(self) -> bool:
        """Whether the study is over."""
        return self.scene.final

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
        return Outcome(self.version, clock.now_ms, self.final, self.scene.story.digest(), clock.calls)

    def model(self) -> Model | None:
        """The newest version's model; None before version 0."""
        models = self.log.models
        for offset in range(models.end - 1, models.start - 1, -1):
            model = models.get(offset)
            if isinstance(model, Model) and model.version == self.version:
                return model
        return None

    # -- what people do

    def command(
        self, action: Action, *, site: str | None = None, version: int | None = None, operator: str = "operator"
    ) -> None:
        """An operator's command is on the log; whoever leads reads it a moment later."""
        said = self.scene.said
        command = Command(self.scene.plan.study, len(said), action, site, version, "a history")
        said.append(Said(operator, command))
        if action == Action.EXCLUDE and site is not None:
            self.was_excluded.add(site)
        for node in self.coordinators.values():
            self.clock.at(node.link.fetched_ms(self.clock.now_ms, 0), node, node.commanded)

    def change_members(self, site: str, member: bool) -> None:
        """The registrar's roster lists a site, or does not any more; everybody reads that."""
        if not member:
            self.was_away.add(site)
        self.publish(self.scene.roster.with_site(site) if member else self.scene.roster.without(site))

    def publish(self, roster: Roster, *, late_ms: int = 0) -> None:
        """The registrar has a newer roster; coordinators read it so much later than sites."""
        self.scene.roster = roster
        for process in self.processes.values():
            after_ms = late_ms if process.name in self.coordinators else 0
            self.clock.after(after_ms, process, process.read_roster, roster)


def _names(coordinators: int) -> list[str]:
    return [f"coordinator-{number + 1}" for number in range(coordinators)]


def _by_process(spans: Iterable[tuple[str, Span]]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for name, span in spans:
        found.setdefault(name, []).append(span)
    return found


def _link(spec: SiteSpec, faulty: list[Span]) -> Link:
    windows = [] if spec.windows is None else outside(spec.windows)
    return Link(spec.latency_ms, spec.up_bytes_s, spec.down_bytes_s, [*windows, *faulty])
