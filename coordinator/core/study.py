"""Which updates make the next version of one study: a pure machine, verified facts in, effects out.

Knows:    which offers are in the sum and at what weight, which cohort is full, when a round closes and the study ends.
Never:    awaits, reads a clock, a file or randomness, holds a vector.
Imports:  stdlib, schemas, coordinator.strategies.   Used by: coordinator.shell, the simulator.
Source:   FedBuff, arXiv 2106.06639, algorithm 1.

Which offers wait, and which are refused, is decided in coordinator.core.offers.
"""

from collections.abc import Iterable, Mapping

from coordinator.core.events import (
    Add,
    BodyReady,
    BodyUnusable,
    Close,
    Commanded,
    Committed,
    Effect,
    End,
    Evaluated,
    Event,
    Fetch,
    OfferFact,
    OffersAnew,
    Remove,
    SitesChanged,
    Tick,
    Undone,
)
from coordinator.core.offers import Offers
from coordinator.core.site import Phase, Site, Undecided
from coordinator.strategies.gathering import Gathering, largest_within_floors, within_floors
from coordinator.strategies.stopping import Progress, stop_after
from coordinator.strategies.suspicion import SUSPECTED_AFTER, Suspicion, hold_ms
from protocol.judging import Judgement, judge, summary_of
from protocol.orders import Orders
from schemas.plan import Plan
from schemas.records import SITES_MAX, Outcome, Receipt, RequestEntry, Stop


class StudyCore:
    """One study's decisions. State is what the log says: build it from the log, never patch it."""

    def __init__(
        self,
        plan: Plan,
        *,
        version: int,
        models: Mapping[int, bytes],
        receipts: Iterable[Receipt] = (),
        progress: Progress | None = None,
        suspicion: Suspicion | None = None,
        final: bool = False,
        now_ms: int,
    ) -> None:
        """`models`: model digest by version, at least those the plan's table reaches back to."""
        self.plan = plan
        self.progress = progress or Progress()
        self.suspicion = suspicion or Suspicion()
        self._offers = Offers(plan, version=version, models=models, receipts=receipts, final=final)
        self._open = self._offers.undecided
        self.orders = Orders()
        self._fetches = 0
        self._paused_ms: int | None = None
        self._gathering = Gathering(plan.aggregation.goal, plan.aggregation.minimum, plan.aggregation.deadline_ms)
        self._evaluations: dict[str, Evaluated] = {}
        self._closing: Close | None = None
        self._closing_progress = self.progress
        self._began_ms = self._round_ms = now_ms

    @property
    def version(self) -> int:
        """The newest version."""
        return self._offers.version

    @property
    def final(self) -> bool:
        """Whether the study is over."""
        return self._offers.final

    def on(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one fact; return what the shell has to do, in order."""
        match event:
            case OfferFact():
                return [*self._offers.take(event), *self._advance(now_ms)]
            case BodyReady():
                return [*self._offers.body_ready(event), *self._advance(now_ms)]
            case BodyUnusable():
                return [*self._offers.body_unusable(event), *self._advance(now_ms)]
            case Evaluated():
                return self._evaluated(event)
            case SitesChanged():
                return [*self._sites_changed(event), *self._advance(now_ms)]
            case OffersAnew():
                self._offers.anew(event.site)
                return []
            case Commanded():
                return [*self._commanded(event, now_ms), *self._advance(now_ms)]
            case Tick():
                return self._advance(now_ms)
            case Committed():
                return [*self._committed(event, now_ms), *self._advance(now_ms)]
            case Undone():
                return [*self._undone(event, now_ms), *self._advance(now_ms)]

    def next_offset(self, site: str) -> int:
        """From where a successor reads this site's offers."""
        return self._offers.site(site).next_offset

    def unread_from(self, site: str, heard: int) -> int:
        """The same while offers wait: everything before the offset `heard` was taken, and not all of it is decided."""
        return self._offers.unread_from(site, heard)

    def evaluations(self) -> list[Evaluated]:
        """Those of the newest version, by site."""
        return [self._evaluations[site] for site in sorted(self._evaluations)]

    def waiting(self) -> Mapping[str, Phase]:
        """The undecided offer of each site, by phase: for metrics."""
        return {name: phase for phase in Phase for name in self._open.in_phase(phase)}

    def round_age_ms(self, now_ms: int) -> int:
        return now_ms - self._round_ms

    # -- facts

    def _evaluated(self, event: Evaluated) -> list[Effect]:
        if self._offers.believes(event.site) and self._offers.is_newest(event.version, event.model):
            self._evaluations[event.site] = event
        return []

    def _sites_changed(self, event: SitesChanged) -> list[Effect]:
        self._offers.members = event.sites
        return [] if self._closing is not None else self._offers.without_barred()

    def _commanded(self, event: Commanded, now_ms: int) -> list[Effect]:
        self.orders = Orders.of(event.commands)
        self._offers.excluded = self.orders.excluded
        for site in self.orders.excluded:
            self._evaluations.pop(site, None)
        self._mind_pause(now_ms)
        return [] if self._closing is not None else [*self._offers.without_barred(), *self._unload()]

    def _mind_pause(self, now_ms: int) -> None:
        """The time of a pause counts towards no deadline and no limit."""
        if self.orders.paused and self._paused_ms is None:
            self._paused_ms = now_ms
        elif not self.orders.paused and self._paused_ms is not None:
            away_ms, self._paused_ms = now_ms - self._paused_ms, None
            self._round_ms += away_ms
            self._began_ms += away_ms

    def _unload(self) -> list[Effect]:
        """During a pause no body takes up memory."""
        return self._offers.unload() if self.orders.paused else []

    def _committed(self, event: Committed, now_ms: int) -> list[Effect]:
        closing = self._closing
        assert closing is not None
        assert event.version == closing.version
        self._closing = None
        self.progress = self._closing_progress
        self.suspicion = self.suspicion.after_counted([entry.site for entry in closing.entries])
        self._offers.rise(event.version, event.model, final=closing.stop is not Stop.NONE)
        self._evaluations.clear()
        self._begin_round(now_ms)
        return [
            *self._offers.settle(closing.receipts),
            *self._offers.too_late(),
            *self._offers.without_barred(),
            *self._unload(),
        ]

    def _undone(self, event: Undone, now_ms: int) -> list[Effect]:
        closing = self._closing
        assert closing is not None
        self._closing = None
        self._begin_round(now_ms)
        if event.code in SUSPECTED_AFTER:
            self.suspicion = self.suspicion.after_failed(entry.site for entry in closing.entries)
        return [*self._offers.settle(closing.voids), *self._offers.without_barred(), *self._unload()]

    def _begin_round(self, now_ms: int) -> None:
        self._round_ms = now_ms
        if self._paused_ms is not None:  # the order came while the round before was being written
            self._paused_ms = now_ms

    # -- what follows

    def _advance(self, now_ms: int) -> list[Effect]:
        if self._closing is not None or self.final:
            return []
        if self.orders.stopped:
            return self._end(Stop.OPERATOR)
        if self.orders.paused:
            return []
        if self.plan.stop.time_s and now_ms - self._began_ms >= self.plan.stop.time_s * 1000:
            return self._end(Stop.TIME)
        return [*self._fetch_eligible(now_ms), *self._add_ready(), *self._close_if_full(now_ms)]

    def _end(self, stop: Stop) -> list[Effect]:
        self._offers.final = True
        return [End(stop), *self._offers.too_late()]

    def _close_if_full(self, now_ms: int) -> list[Effect]:
        added = self._open.in_phase(Phase.ADDED)
        hurried = self.version in self.orders.closing
        full = self._gathering.closes(len(added), now_ms - self._round_ms, hurried=hurried)
        return self._close([self._offers.site(name) for name in sorted(added)]) if full else []

    def _fetch_eligible(self, now_ms: int) -> list[Effect]:
        waiting = self._open.in_phase(Phase.WAITING)
        if not waiting:
            return []
        size = largest_within_floors(self._open.floors())
        eligible = {name: item for name, item in waiting.items() if item.offer.cohort_min <= size}
        effects: list[Effect] = []
        for name in sorted(self._entering(eligible, size, now_ms)):
            self._fetches += 1
            eligible[name].fetch = self._fetches
            self._open.move(name, eligible[name], Phase.FETCHING)
            effects.append(Fetch(eligible[name].offer, self._fetches))
        return effects

    def _entering(self, eligible: Mapping[str, Undecided], size: int, now_ms: int) -> Iterable[str]:
        """Which of those that wait enter the round now: everybody, in a study without suspects."""
        if not self.suspicion.suspects:
            return eligible
        inside = [name for phase in Phase if phase is not Phase.WAITING for name in self._open.in_phase(phase)]
        floor = max((floor for floor in self._open.floors() if floor <= size), default=0)
        waited = (now_ms - self._round_ms) // hold_ms(self.plan.aggregation.deadline_ms)
        arrivals = [(item.arrival, name) for name, item in eligible.items()]
        return self.suspicion.admitted(arrivals, inside, minimum=max(self._gathering.minimum, floor), waited=waited)

    def _add_ready(self) -> list[Effect]:
        ready = dict(self._open.in_phase(Phase.READY))
        room = self.plan.aggregation.goal - len(self._open.in_phase(Phase.ADDED))
        effects: list[Effect] = []
        arrivals = ((item.arrival, name) for name, item in ready.items())
        for name in sorted(self.suspicion.order(arrivals)[: max(0, room)]):
            item = ready[name]
            weight = self.plan.weight(self.version - item.offer.base_version)
            assert weight is not None, "offers past the table's end were refused when the version rose"
            item.weight = weight
            self._open.move(name, item, Phase.ADDED)
            effects.append(Add(item.offer, weight))
        return effects

    def _close(self, added: list[Site]) -> list[Effect]:
        """Close with those of `added`, in the order of their names, whose floors the cohort reaches."""
        floors = {site.name: site.undecided.offer.cohort_min for site in added if site.undecided}
        chosen = within_floors(floors)
        if len(chosen) < self._gathering.minimum:
            return []
        effects: list[Effect] = []
        cohort: list[tuple[Site, Undecided]] = []
        for site in added:
            assert site.undecided is not None
            if site.name in chosen:
                cohort.append((site, site.undecided))
            else:
                effects.append(Remove(site.undecided.offer, site.undecided.weight))
                self._open.move(site.name, site.undecided, Phase.WAITING)
        self._closing = self._close_of(cohort)
        return [*effects, self._closing]

    def _close_of(self, cohort: list[tuple[Site, Undecided]]) -> Close:
        study, version, judgement = self.plan.study, self.version + 1, self._judgement()
        progress = self.progress.after(judgement, higher_is_better=self.plan.evaluation.higher_is_better)
        self._closing_progress = progress
        return Close(
            version=version,
            entries=tuple(
                RequestEntry(site.name, one.offer.sequence, one.offer.header, one.weight) for site, one in cohort
            ),
            offers=tuple(one.offer for _, one in cohort),
            receipts=tuple(
                site.receipt(study, one.offer, Outcome.COUNTED, version=version, weight=one.weight)
                for site, one in cohort
            ),
            voids=tuple(site.receipt(study, one.offer, Outcome.VOID) for site, one in cohort),
            evaluations=tuple((name, self._evaluations[name].digest) for name in sorted(self._evaluations)[:SITES_MAX]),
            patience=progress.patience,
            stop=stop_after(self.plan, version=version, progress=progress, judgement=judgement),
            summary=summary_of(judgement),
        )

    def _judgement(self) -> Judgement:
        """By those evaluations that the Announcement lists: a successor comes to the same."""
        listed = sorted(self._evaluations)[:SITES_MAX]
        return judge(
            self.plan, {name: (self._evaluations[name].value, self._evaluations[name].weight) for name in listed}
        )
