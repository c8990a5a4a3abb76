"""Which updates make the next version of one study: a pure machine, verified facts in, effects out.

Knows:    the round, what waits, the operators' orders, when the study ends.
Never:    awaits, reads a clock, a file or randomness, holds a vector; moves an offer (Offers does), or picks a cohort
          (Choosing does).
"""

from collections.abc import Iterable, Mapping

from coordinator.core.choosing import Choosing
from coordinator.core.closing import Closing, OpenRequest
from coordinator.core.codes import Failure
from coordinator.core.events import (
    Asked,
    BodyReady,
    BodyUnusable,
    Commanded,
    Committed,
    Effect,
    End,
    Evaluated,
    Event,
    OfferFact,
    OffersAnew,
    SitesChanged,
    Stepped,
    Tick,
    Undone,
    Wrong,
)
from coordinator.core.hours import Hours
from coordinator.core.judge import Judge
from coordinator.core.measured import Measurements
from coordinator.core.offers import Offers
from coordinator.core.round import Fact, Stage, asks_apart
from coordinator.core.site import Phase
from coordinator.strategies.stopping import Progress
from coordinator.strategies.suspicion import SUSPECTED_AFTER, Suspicion
from protocol.orders import Orders
from schemas.plan import Plan
from schemas.records import Receipt, Stop


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
        asked: OpenRequest | None = None,
        apart: bool | None = None,
        now_ms: int,
    ) -> None:
        """What the log says.

        models  model digest by version, at least those the plan's table reaches back to
        asked   the Request that is open
        apart   whether a Request is committed by itself; None: as the plan says
        """
        self.plan = plan
        self.suspicion = suspicion or Suspicion()
        self.orders = Orders()
        self._judge = Judge(plan, version=version, models=models, final=final)
        self._offers = Offers(plan.study, self._judge, receipts)
        self._choosing = Choosing(plan, self._offers, self._judge)
        self._measured = Measurements(plan, progress or Progress())
        self._hours = Hours(now_ms)
        apart = asks_apart(plan) if apart is None else apart
        self._closing = Closing(plan.study, self._offers, self._measured, apart=apart)
        if asked is not None:
            self._closing.resume(asked, version + 1)

    @property
    def version(self) -> int:
        """The newest version."""
        return self._judge.version

    @property
    def final(self) -> bool:
        """Whether the study is over."""
        return self._judge.final

    @property
    def progress(self) -> Progress:
        return self._measured.progress

    @property
    def stage(self) -> Stage | None:
        """How far the open round is; None while updates are gathered for the next one."""
        return self._closing.stage

    def on(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one fact; return what the shell has to do, in order."""
        if isinstance(event, Evaluated):
            self._evaluated(event)
            return []
        if isinstance(event, OffersAnew):
            self._offers.anew(event.site)
            return []
        return [*self._take(event, now_ms), *self._advance(now_ms)]

    def _take(self, event: Event, now_ms: int) -> list[Effect]:
        match event:
            case OfferFact():
                return self._offers.take(event)
            case BodyReady():
                return self._offers.body_ready(event)
            case BodyUnusable():
                return self._body_unusable(event)
            case SitesChanged():
                self._judge.members = event.sites
                return [] if self.stage is not None else self._offers.without_barred()
            case Commanded():
                return self._commanded(event, now_ms)
            case Asked():
                self._closing.moved(Fact.ASKED)
            case Stepped():
                self._closing.moved(Fact.STEPPED)
            case Wrong():
                return self._closing.spoil(event.code)
            case Committed():
                return self._committed(event, now_ms)
            case Undone():
                return self._undone(now_ms)
            case Tick():
                pass
        return []

    def next_offset(self, site: str) -> int:
        """From where a successor reads this site's offers."""
        return self._offers.site(site).next_offset

    def unread_from(self, site: str, heard: int) -> int:
        """The same while offers wait: everything before the offset `heard` was taken, and not all of it is decided."""
        return self._offers.unread_from(site, heard)

    def evaluations(self) -> list[Evaluated]:
        """Those of the newest version, by site."""
        return self._measured.all()

    def waiting(self) -> Mapping[str, Phase]:
        """The undecided offer of each site, by phase: for metrics."""
        return {name: phase for phase in Phase for name in self._offers.in_phase(phase)}

    def round_age_ms(self, now_ms: int) -> int:
        return self._hours.round_ms(now_ms)

    # -- facts

    def _evaluated(self, event: Evaluated) -> None:
        believed = self._judge.barred(event.site) is None
        if believed and self._judge.is_newest(event.version, event.model):
            self._measured.take(event)

    def _commanded(self, event: Commanded, now_ms: int) -> list[Effect]:
        self.orders = Orders.of(event.commands)
        self._judge.excluded = self.orders.excluded
        for site in self.orders.excluded:
            self._measured.forget(site)
        self._hours.pause(now_ms, paused=self.orders.paused)
        return [] if self.stage is not None else [*self._offers.without_barred(), *self._unload()]

    def _unload(self) -> list[Effect]:
        """During a pause no body takes up memory."""
        return self._offers.unload() if self.orders.paused else []

    def _body_unusable(self, event: BodyUnusable) -> list[Effect]:
        """A body of a cohort that was asked for is missed by all of it."""
        if self._closing.names(event.site) and self._offers.awaits(event):
            return self._closing.spoil(event.code or Failure.GONE.value)
        return self._offers.body_unusable(event)

    def _committed(self, event: Committed, now_ms: int) -> list[Effect]:
        closed = self._closing.announced(event.version)
        self._judge.rise(event.version, event.model, final=closed.stop is not Stop.NONE)
        self.suspicion = self.suspicion.after_counted([entry.site for entry in closed.entries])
        self._hours.begin_round(now_ms)
        return [
            *self._offers.settle(closed.receipts),
            *self._offers.too_late(),
            *self._offers.without_barred(),
            *self._unload(),
        ]

    def _undone(self, now_ms: int) -> list[Effect]:
        failed = self._closing.failed()
        if failed.code in SUSPECTED_AFTER:
            self.suspicion = self.suspicion.after_failed(entry.site for entry in failed.cohort.entries)
        self._hours.begin_round(now_ms)
        return [*self._offers.settle(failed.receipts), *self._offers.without_barred(), *self._unload()]

    # -- what follows

    def _advance(self, now_ms: int) -> list[Effect]:
        if self.stage is not None:
            return self._closing.finish()
        if self.final:
            return []
        if self.orders.stopped:
            return self._end(Stop.OPERATOR)
        if self.orders.paused:
            return []
        if self.plan.stop.time_s and self._hours.study_ms(now_ms) >= self.plan.stop.time_s * 1000:
            return self._end(Stop.TIME)
        waited_ms = self._hours.round_ms(now_ms)
        return [*self._choosing.gather(self.suspicion, waited_ms), *self._close(waited_ms)]

    def _end(self, stop: Stop) -> list[Effect]:
        self._judge.final = True
        return [End(stop), *self._offers.too_late()]

    def _close(self, waited_ms: int) -> list[Effect]:
        effects, entries = self._choosing.choose(waited_ms, hurried=self.version in self.orders.closing)
        return [*effects, *self._closing.begin(entries, self.version + 1)] if entries else []
