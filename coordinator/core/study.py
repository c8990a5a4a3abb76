"""Which updates make the next version of one study: a pure machine, verified facts in, effects out.

Knows:    who offered what against which version, how stale that is, which cohort is full, when the study ends.
Never:    awaits, reads a clock, a file or randomness, holds a vector.
Imports:  stdlib, schemas, coordinator.strategies.   Used by: coordinator.shell, the simulator.
Source:   FedBuff, arXiv 2106.06639, algorithm 1; receipts and positions: the design, section 4.
"""

from collections.abc import Iterable, Mapping

from coordinator.core.events import (
    Add,
    BodyReady,
    BodyUnusable,
    Close,
    Commanded,
    Committed,
    Decide,
    Drop,
    Effect,
    End,
    Evaluated,
    Event,
    Fetch,
    Hold,
    Ignored,
    OfferFact,
    OffersAnew,
    Release,
    Remove,
    SitesChanged,
    Tick,
    Undone,
    Unload,
)
from coordinator.core.judge import refusal
from coordinator.core.orders import Orders
from coordinator.core.site import Phase, Site, Undecided, UndecidedOffers
from coordinator.strategies.gathering import Gathering, largest_within_floors, within_floors
from coordinator.strategies.stopping import Progress, overall, stop_after
from coordinator.strategies.suspicion import SUSPECTED_AFTER, Suspicion, hold_ms
from schemas.plan import Plan
from schemas.records import SITES_MAX, Outcome, Receipt, RequestEntry, Stop

BEHIND_MAX = 8
ASK_AGAIN_MAX = 2


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
        self.version = version
        self.final = final
        self.progress = progress or Progress()
        self.suspicion = suspicion or Suspicion()
        self._digest = plan.digest
        self._models = dict(models)
        self._sites = {receipt.site: Site.from_receipt(receipt) for receipt in receipts}
        self._open = UndecidedOffers()
        self._members: frozenset[str] = frozenset()
        self.orders = Orders()
        self._paused_ms: int | None = None
        self._gathering = Gathering(plan.aggregation.goal, plan.aggregation.minimum, plan.aggregation.deadline_ms)
        self._evaluations: dict[str, Evaluated] = {}
        self._closing: Close | None = None
        self._closing_progress = self.progress
        self._began_ms = self._round_ms = now_ms
        self._arrivals = 0

    def on(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one fact; return what the shell has to do, in order."""
        match event:
            case OfferFact():
                return [*self._offer(event), *self._advance(now_ms)]
            case BodyReady():
                return [*self._body_ready(event), *self._advance(now_ms)]
            case BodyUnusable():
                return [*self._body_unusable(event), *self._advance(now_ms)]
            case Evaluated():
                return self._evaluated(event)
            case SitesChanged():
                return [*self._sites_changed(event), *self._advance(now_ms)]
            case OffersAnew():
                self._site(event.site).next_offset = 0
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
        return self._site(site).next_offset

    def waiting(self) -> Mapping[str, Phase]:
        """The undecided offer of each site, by phase: for metrics."""
        return {name: phase for phase in Phase for name in self._open.in_phase(phase)}

    def round_age_ms(self, now_ms: int) -> int:
        return now_ms - self._round_ms

    # -- facts

    def _offer(self, offer: OfferFact) -> list[Effect]:
        site = self._site(offer.site)
        if offer.offset < site.next_offset or offer.sequence <= site.sequence:
            return [Ignored(offer)]
        if site.undecided is not None:
            return self._behind(site, offer)
        return self._take(site, offer)

    def _behind(self, site: Site, offer: OfferFact) -> list[Effect]:
        assert site.undecided is not None
        known = [site.undecided.offer, *site.behind]
        if any(offer.sequence == earlier.sequence for earlier in known):
            return [Ignored(offer)]
        site.behind.append(offer)
        if len(site.behind) >= BEHIND_MAX and not site.held:
            site.held = True
            return [Hold(site.name)]
        return []

    def _take(self, site: Site, offer: OfferFact) -> list[Effect]:
        code = refusal(offer, self.plan, self._digest, version=self.version, models=self._models)
        if code is None and offer.site not in self._members:
            code = "stranger"
        if code is None and offer.site in self.orders.excluded:
            code = "excluded"
        if code is None and self.final:
            code = "final"
        if code is not None:
            return self._refuse(site, offer, code)
        self._arrivals += 1
        self._open.put(site, offer, self._arrivals)
        return []

    def _refuse(self, site: Site, offer: OfferFact, code: str) -> list[Effect]:
        receipt = site.receipt(self.plan.study, offer, Outcome.REFUSED, code=code)
        return [Drop(offer), *self._decide(site, receipt, offer)]

    def _decide(self, site: Site, receipt: Receipt, offer: OfferFact | None) -> list[Effect]:
        site.remember(receipt)
        self._open.drop(site)
        return [Decide(receipt, offer)]

    def _refuse_waiting(self, site: Site, offer: OfferFact, code: str) -> list[Effect]:
        return [*self._refuse(site, offer, code), *self._next_behind(site)]

    def _next_behind(self, site: Site) -> list[Effect]:
        effects: list[Effect] = []
        while site.behind and site.undecided is None:
            effects += self._offer(site.behind.popleft())
        if site.held and len(site.behind) < BEHIND_MAX // 2:
            site.held = False
            effects.append(Release(site.name))
        return effects

    def _body_ready(self, event: BodyReady) -> list[Effect]:
        undecided = self._undecided(event.site, event.sequence)
        if undecided is not None and undecided.phase is Phase.FETCHING:
            self._open.move(event.site, undecided, Phase.READY)
        return []

    def _body_unusable(self, event: BodyUnusable) -> list[Effect]:
        undecided = self._undecided(event.site, event.sequence)
        if undecided is None:
            return []
        site, offer = self._site(event.site), undecided.offer
        if event.code is not None:
            return self._refuse_waiting(site, offer, event.code)
        asked = site.asked_again.get(offer.sequence, 0)
        if asked >= ASK_AGAIN_MAX:
            return self._refuse_waiting(site, offer, "malformed")
        site.asked_again[offer.sequence] = asked + 1
        receipt = site.receipt(self.plan.study, offer, Outcome.AGAIN)
        return [Drop(offer), *self._decide(site, receipt, None), *self._next_behind(site)]

    def _evaluated(self, event: Evaluated) -> list[Effect]:
        believed = event.site in self._members and event.site not in self.orders.excluded
        if believed and event.version == self.version and event.model == self._models[self.version]:
            self._evaluations[event.site] = event
        return []

    def _sites_changed(self, event: SitesChanged) -> list[Effect]:
        self._members = event.sites
        return [] if self._closing is not None else self._without_barred()

    def _commanded(self, event: Commanded, now_ms: int) -> list[Effect]:
        self.orders = Orders.of(event.commands)
        for site in self.orders.excluded:
            self._evaluations.pop(site, None)
        self._mind_pause(now_ms)
        return [] if self._closing is not None else [*self._without_barred(), *self._unload()]

    def _mind_pause(self, now_ms: int) -> None:
        """The time of a pause counts towards no deadline and no limit."""
        if self.orders.paused and self._paused_ms is None:
            self._paused_ms = now_ms
        elif not self.orders.paused and self._paused_ms is not None:
            away_ms, self._paused_ms = now_ms - self._paused_ms, None
            self._round_ms += away_ms
            self._began_ms += away_ms

    def _unload(self) -> list[Effect]:
        """During a pause no body takes up the memory that other studies share; what is in the sum stays there."""
        if not self.orders.paused:
            return []
        effects: list[Effect] = []
        for _, site in sorted(self._sites.items()):
            if site.undecided is not None and site.undecided.phase in (Phase.FETCHING, Phase.READY):
                self._open.move(site.name, site.undecided, Phase.WAITING)
                effects.append(Unload(site.undecided.offer))
        return effects

    def _without_barred(self) -> list[Effect]:
        """Who left, or was excluded, is out of this round too."""
        effects: list[Effect] = []
        for name, site in sorted(self._sites.items()):
            code = "revoked" if name not in self._members else "excluded" if name in self.orders.excluded else None
            if code is not None and site.undecided is not None:
                if site.undecided.phase is Phase.ADDED:
                    effects.append(Remove(site.undecided.offer, site.undecided.weight))
                effects += self._refuse_waiting(site, site.undecided.offer, code)
        return effects

    def _committed(self, event: Committed, now_ms: int) -> list[Effect]:
        closing = self._closing
        assert closing is not None
        assert event.version == closing.version
        self._closing = None
        self.progress = self._closing_progress
        self.suspicion = self.suspicion.after_counted([entry.site for entry in closing.entries])
        self.version = event.version
        self.final = closing.stop is not Stop.NONE
        self._models[event.version] = event.model
        self._models.pop(event.version - self.plan.aggregation.staleness_max - 1, None)
        self._evaluations.clear()
        self._begin_round(now_ms)
        return [*self._settle(closing.receipts), *self._too_late(), *self._without_barred(), *self._unload()]

    def _undone(self, event: Undone, now_ms: int) -> list[Effect]:
        closing = self._closing
        assert closing is not None
        self._closing = None
        self._begin_round(now_ms)
        if event.code in SUSPECTED_AFTER:
            self.suspicion = self.suspicion.after_failed(entry.site for entry in closing.entries)
        return [*self._settle(closing.voids), *self._without_barred(), *self._unload()]

    def _begin_round(self, now_ms: int) -> None:
        self._round_ms = now_ms
        if self._paused_ms is not None:  # the order came while the round before was being written
            self._paused_ms = now_ms

    def _settle(self, receipts: Iterable[Receipt]) -> list[Effect]:
        effects: list[Effect] = []
        for receipt in receipts:
            site = self._site(receipt.site)
            site.remember(receipt)
            self._open.drop(site)
        for receipt in receipts:
            effects += self._next_behind(self._site(receipt.site))
        return effects

    def _too_late(self) -> list[Effect]:
        """Waiting offers age with every version; those past the table's end, or past the study's, are refused."""
        effects: list[Effect] = []
        for _, site in sorted(self._sites.items()):
            while site.undecided is not None:
                offer = site.undecided.offer
                stale = self.plan.weight(self.version - offer.base_version) is None
                if not (stale or self.final):
                    break
                effects += self._refuse_waiting(site, offer, "stale" if stale else "final")
        return effects

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
        self.final = True
        return [End(stop), *self._too_late()]

    def _close_if_full(self, now_ms: int) -> list[Effect]:
        added = self._open.in_phase(Phase.ADDED)
        hurried = self.version in self.orders.closing
        full = self._gathering.closes(len(added), now_ms - self._round_ms, hurried=hurried)
        return self._close([self._sites[name] for name in sorted(added)]) if full else []

    def _fetch_eligible(self, now_ms: int) -> list[Effect]:
        waiting = self._open.in_phase(Phase.WAITING)
        if not waiting:
            return []
        size = largest_within_floors(self._open.floors())
        eligible = {name: item for name, item in waiting.items() if item.offer.cohort_min <= size}
        effects: list[Effect] = []
        for name in sorted(self._entering(eligible, size, now_ms)):
            self._open.move(name, eligible[name], Phase.FETCHING)
            effects.append(Fetch(eligible[name].offer))
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
        study, version, value = self.plan.study, self.version + 1, self._overall()
        progress = self.progress.after(value, higher_is_better=self.plan.evaluation.higher_is_better)
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
            stop=stop_after(self.plan, version=version, progress=progress, value=value),
        )

    def _overall(self) -> int | None:
        return overall((one.value, one.weight) for one in self._evaluations.values())

    def _undecided(self, site: str, sequence: int) -> Undecided | None:
        undecided = self._site(site).undecided
        return undecided if undecided is not None and undecided.offer.sequence == sequence else None

    def _site(self, name: str) -> Site:
        return self._sites.setdefault(name, Site(name))
