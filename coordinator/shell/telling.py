"""What a study says of itself while it runs: its gauges, what became of each update, what operators were told.

Never:    decides; says more of one site than its share of lines.
"""

import structlog

from coordinator.core.events import Close, Fail, OfferFact
from coordinator.core.site import Phase
from coordinator.core.study import StudyCore
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import now_ms
from protocol.orders import Orders
from runtime.lines import LineBudget
from schemas.plan import Plan
from schemas.records import Outcome, Receipt


class Telling:
    """Of one study."""

    def __init__(self, metrics: CoordinatorMetrics, plan: Plan) -> None:
        self._metrics, self._study = metrics, plan.study
        self._log = structlog.get_logger().bind(study=plan.study)
        self._lines = LineBudget(burst=20, every_s=3.0)  # of a site's updates that do not count
        metrics.goal.labels(plan.study).set(plan.aggregation.goal)

    def observe(self, core: StudyCore) -> None:
        """How the study stands."""
        metrics, study = self._metrics, self._study
        metrics.version.labels(study).set(core.version)
        metrics.round_age_s.labels(study).set(core.round_age_ms(now_ms()) / 1000)
        metrics.final.labels(study).set(core.final)
        metrics.suspects.labels(study).set(len(core.suspicion.suspects))
        metrics.paused.labels(study).set(core.orders.paused)
        metrics.excluded.labels(study).set(len(core.orders.excluded))
        phases = list(core.waiting().values())
        for phase in Phase:
            metrics.buffer.labels(study, phase.name.lower()).set(sum(one is phase for one in phases))

    def runs(self, core: StudyCore) -> None:
        """It was taken over."""
        stage = core.stage.name.lower() if core.stage is not None else None
        self._log.info(
            "study runs", version=core.version, final=core.final, goal=core.plan.aggregation.goal, open=stage
        )

    def decided(self, receipt: Receipt) -> None:
        """An update does not count."""
        outcome = Outcome(receipt.outcome).name.lower()
        self._metrics.offers.labels(self._study, outcome, receipt.code or "none").inc()
        unsaid = self._lines.ask(receipt.site, now_ms() / 1000)
        if unsaid is not None:
            update = f"{self._study}/{receipt.site}/{receipt.sequence}"
            self._log.info("offer decided", update=update, outcome=outcome, code=receipt.code, unsaid=unsaid)

    def ignored(self) -> None:
        """An offer repeats one that is decided."""
        self._metrics.offers.labels(self._study, "ignored", "duplicate").inc()

    def announced(self, close: Close) -> None:
        """A round made its version."""
        for offer in close.offers:
            self._metrics.staleness.labels(self._study).observe(close.version - 1 - offer.base_version)
            self._metrics.offers.labels(self._study, "counted", "none").inc()
            self._log.info("offer decided", update=self._update(offer), outcome="counted")
        self._log.info("version announced", version=close.version, n=len(close.entries), sum_w=close.sum_w)

    def failed(self, failing: Fail) -> None:
        """A round ended without one."""
        for _ in failing.cohort.entries:
            self._metrics.offers.labels(self._study, "void", failing.code).inc()
        sites = [entry.site for entry in failing.cohort.entries]
        self._log.error("updates are void", version=failing.cohort.version, code=failing.code, sites=sites)

    def obeyed(self, orders: Orders) -> None:
        """Commands amount to something else than before."""
        excluded = sorted(orders.excluded)
        self._log.info("orders", paused=orders.paused, stopped=orders.stopped, excluded=excluded)

    def ends(self, reason: str) -> None:
        self._log.info("study ends", reason=reason)

    def _update(self, offer: OfferFact) -> str:
        return f"{self._study}/{offer.site}/{offer.sequence}"
