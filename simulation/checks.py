"""What must hold in every history, checked as it happens: each breach has a name and a sentence.

Knows:    the log as anyone may read it, what sites sealed and offered, and who belonged when.
Never:    looks into a core: it is judged by what it makes its shell do.
"""

import math
from collections.abc import Mapping, Sequence

from coordinator.core.bookmark import Marked
from coordinator.core.events import Close, Evaluated
from coordinator.strategies.stopping import Progress
from protocol.judging import judge
from protocol.rounds import RoundsRecord, RoundsView
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Announcement, Receipt, Request, Stop
from simulation.hostile import ROGUE
from simulation.observe import InMemory, Observer
from simulation.receipts import ReceiptChecks
from simulation.records import Name, SentOffer
from simulation.vectors import UnitVectors, next_digest
from simulation.verdict import Broken
from simulation.world import World

BEHIND_MAX = 8  # offers of one site that a coordinator may remember behind its undecided one
QUEUE_MAX = 1024 + 256
OUTBOX_MAX = 2  # updates of a study in a site's outbox
PROGRESS_MS = 3 * 3_600_000  # from the moment that all is well to the next version: a lost offer is repeated hourly


class Checks(Observer):
    """Raises Broken at the first breach; `calm_ms` is when the last fault is over."""

    def __init__(self, plan: Plan, *, calm_ms: int = 0) -> None:
        self._plan = plan
        self._calm_ms = calm_ms
        self._view = RoundsView(plan.study, plan.digest)
        self._model = plan.initial
        self._offers: dict[Name, SentOffer] = {}
        self._headers: dict[bytes, SentOffer] = {}
        self._trainings: dict[Name, int] = {}
        self._receipts = ReceiptChecks(plan)
        self._evaluations: dict[bytes, Evaluated] = {}
        self._progress = Progress()
        self._honest_best, self._risen = -math.inf, 0  # of those who do not lie, and the last version that beat it
        self._bests: dict[int, float | None] = {}  # by version
        self._request: Request | None = None  # the newest
        self._version_ms = 0
        self._world: World

    def watch(self, world: World) -> None:
        """Look at this world's log."""
        self._world = world
        self._receipts.watch(world)

    # -- sites

    def on_sealed(self, site: str, sequence: int, base_version: int, training: int, now_ms: int) -> None:
        if (site, sequence) in self._trainings and not self._world.sites[site].copied:
            raise Broken("name-twice", f"two updates of {site} are both named {sequence}")
        self._trainings[site, sequence] = training
        self._receipts.sealed.add((site, sequence))

    def on_offered(self, site: str, offset: int, offer: SentOffer, now_ms: int) -> None:
        if offer.intact and offer.signer == site == offer.fact.site:
            self._offers.setdefault((site, offer.fact.sequence), offer)
            self._headers[offer.fact.header] = offer

    def on_evaluation(self, fact: Evaluated, now_ms: int) -> None:
        self._evaluations[fact.digest] = fact

    def on_settled(self, site: str, sequence: int, outcome: str, now_ms: int) -> None:
        name = site, sequence
        self._receipts.settled(name, outcome)
        offer = self._offers.get(name)
        if outcome == "stale" and offer is not None:
            late = self._world.version - offer.fact.base_version > self._plan.aggregation.staleness_max
            if not (late or self._world.final):
                raise Broken("lost", f"{site} gives up {sequence}, which is fresh enough")
        if outcome == "ended" and not self._world.final:
            raise Broken("lost", f"{site} gives up {sequence} as if the study had ended")

    # -- the coordinator

    def on_closing(self, coefficients: Mapping[Name, int], close: Close, now_ms: int) -> None:
        found = coefficients
        wanted = {(entry.site, entry.sequence): entry.weight for entry in close.entries}
        if found == wanted:
            return
        for name, weight in wanted.items():
            if found.get(name, 0) == 2 * weight:
                raise Broken("counted-twice", f"{name} is in the sum twice")
            if name not in found:
                raise Broken("lost", f"{name} is named by the Request and is not in the sum")
        raise Broken("sum", f"the sum holds {found}, the Request says {wanted}")

    def on_handled(self, coordinator: str, memory: InMemory, now_ms: int) -> None:
        scene = self._world.scene
        most = max(scene.costs.spool_bytes, self._plan.body_bytes)
        if memory.body_bytes > most:
            raise Broken("memory", f"{memory.body_bytes} bytes of bodies in memory, {most} are allowed")
        members = len(scene.log.offers)
        if memory.facts > QUEUE_MAX or memory.offers > members * (BEHIND_MAX + 1) + QUEUE_MAX:
            raise Broken("memory", f"{memory.facts} facts wait, {memory.offers} offers are remembered")

    def on_committed(
        self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], announced: Announcement | None, now_ms: int
    ) -> None:
        for record in records:
            self._add(record)
            if isinstance(record, Request):
                self._check_request(record)
                self._request = record
        if announced is not None and announced.request is not None:
            self._check_model(announced, self._request)
        self._receipts.committed(receipts, self._request, announced)
        if announced is not None:
            self._version_ms = now_ms

    def _add(self, record: RoundsRecord) -> None:
        open_request = self._view.open_request
        try:
            self._view.add(record)
        except PeerError as error:
            if open_request is not None and isinstance(record, Request):
                raise Broken("new-cohort", f"a Request is open and another cohort is chosen: {error}") from None
            raise Broken("two-models", f"two histories of one study: {error}") from None

    def _check_request(self, request: Request) -> None:
        """Everybody named offered what is named, fresh enough, with the table's weight, and was in no round before."""
        size, rule = len(request.entries), self._plan.aggregation
        if not rule.minimum <= size <= rule.goal:
            raise Broken("cohort", f"a cohort of {size}, between {rule.minimum} and {rule.goal} are allowed")
        for entry in request.entries:
            offer = self._headers.get(entry.header)
            if offer is None or (offer.fact.site, offer.fact.sequence) != (entry.site, entry.sequence):
                raise Broken("cohort", f"{entry.site} never offered {entry.sequence}")
            weight = self._plan.weight(request.version - offer.fact.base_version)
            if weight != entry.weight:
                raise Broken("weight", f"{entry.site}/{entry.sequence} weighs {entry.weight}, the table says {weight}")
            if offer.fact.cohort_min > size:
                raise Broken("floor", f"{entry.site} wants {offer.fact.cohort_min} sites at least, these are {size}")

    def _check_model(self, announced: Announcement, request: Request | None) -> None:
        stored = self._world.log.models.get(announced.model.body.runs[0][0])
        if stored is None or stored.digest != announced.model.digest:
            raise Broken("no-model", f"version {announced.version} is announced, its model cannot be fetched")
        if request is not None and isinstance(self._world.scene.vectors, UnitVectors):
            coefficients = {(entry.site, entry.sequence): entry.weight for entry in request.entries}
            expected = next_digest(self._model, coefficients, len(request.entries))
            if expected != announced.model.digest:
                raise Broken("other-model", f"version {announced.version} is not what its Request gives")
        self._model = announced.model.digest
        self._check_patience(announced)
        self._check_word(announced)

    def _check_patience(self, announced: Announcement) -> None:
        """What an Announcement says of progress follows from the evaluations that all of them list."""
        if not self._plan.stop.patience or not self._retained():
            return
        used = [self._evaluations[digest] for _, digest in announced.evaluations]
        judgement = judge(self._plan, {fact.site: (fact.value, fact.weight) for fact in used})
        higher = self._plan.evaluation.higher_is_better
        self._progress = self._progress.after(judgement, higher_is_better=higher)
        self._bests[announced.version] = self._progress.best
        if announced.patience != self._progress.patience:
            raise Broken("patience", f"version {announced.version} says {announced.patience}, not {self._progress}")

    def _check_word(self, announced: Announcement) -> None:
        """No study ends by its target, or for want of progress, against the word of all but one."""
        told = [self._evaluations[digest] for _, digest in announced.evaluations]
        values = [fact.value for fact in told if fact.site != ROGUE]
        if len(values) > 1 and min(values) > self._honest_best:
            self._risen = announced.version
        self._honest_best = max([self._honest_best, *values])
        target, patience = self._plan.stop.target, self._plan.stop.patience
        if announced.stop == Stop.TARGET and target is not None and self._honest_best < target:
            raise Broken("one-word", f"version {announced.version} says {target} is reached; {values} were measured")
        if announced.stop == Stop.PATIENCE and announced.version - self._risen < patience:
            raise Broken("one-word", f"no progress by version {announced.version}, there was some at {self._risen}")

    def _retained(self) -> bool:
        """Evaluations that retention took cannot be read again."""
        return not any(topic.start for topic in self._world.log.offers.values())

    def on_bookmark(self, bookmark: Marked, now_ms: int) -> None:
        """What it says is true of the log, whoever wrote it."""
        self._receipts.bookmarked(bookmark)
        known = self._bests.get(bookmark.version, bookmark.memory.best)
        if self._plan.stop.patience and self._retained() and bookmark.memory.best != known:
            raise Broken(
                "patience", f"a bookmark at version {bookmark.version} says {bookmark.memory.best}, not {known}"
            )

    def on_broken(self, breach: str, sentence: str, now_ms: int) -> None:
        raise Broken(breach, sentence)

    # -- the whole

    def look(self, now_ms: int) -> None:
        """From time to time: is there progress, once all is well?"""
        for site in self._world.sites.values():
            if site.alive and site.joined and len(site.core.outbox) > OUTBOX_MAX:
                raise Broken("memory", f"{len(site.core.outbox)} updates of {site.name} wait in its outbox")
        quiet_ms = now_ms - max(self._calm_ms, self._version_ms)
        if not self._world.final and quiet_ms > PROGRESS_MS:
            request = self._view.open_request
            if request is not None:
                raise Broken("open-request", f"the Request of version {request.version} is never finished")
            raise Broken("no-progress", f"no version for {quiet_ms / 60_000:.0f} minutes although all is well")

    def at_rest(self) -> None:
        """The study is over and everybody has heard of it: nothing waits any more, nothing is unaccounted for."""
        for site in self._world.sites.values():
            if not site.alive or not site.joined:
                raise Broken("no-progress", f"{site.name} is not back")
            if site.core.outbox:
                waiting = [entry.sequence for entry in site.core.outbox]
                raise Broken("lost", f"{site.name} waits for ever for an answer about {waiting}")
        self._receipts.at_rest(self._offers)
