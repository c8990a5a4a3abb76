"""What must hold in every history, checked as it happens: each breach has a name and a sentence.

Knows:    the log as anyone may read it, what sites sealed and offered, and who belonged when.
Never:    looks into a core: it is judged by what it makes its shell do.
"""

from collections.abc import Mapping, Sequence

from coordinator.core.bookmark import Marked
from coordinator.core.events import QUEUE_MAX, Close, Evaluated
from coordinator.core.offers import BEHIND_MAX
from protocol.rounds import RoundsRecord, RoundsView
from schemas.errors import PeerError
from schemas.records import Announcement, Receipt, Request
from simulation.desk import LEFT
from simulation.judged import JudgedChecks
from simulation.key_checks import KeyChecks
from simulation.observe import InMemory, Observer
from simulation.reading import BATCH_MAX
from simulation.receipts import ReceiptChecks
from simulation.records import Given, Name, SentOffer
from simulation.site_checks import SiteChecks
from simulation.vectors import UnitVectors, next_model
from simulation.verdict import Broken
from simulation.world import World

WAITING_MAX = QUEUE_MAX + BATCH_MAX  # facts that wait for a coordinator's core
PROGRESS_MS = 3 * 3_600_000  # from the moment that all is well to the next version: a lost offer is repeated hourly


class Checks(Observer):
    """Raises Broken at the first breach; `calm_ms` is when the last fault is over."""

    def __init__(self, world: World, *, calm_ms: int = 0) -> None:
        plan, log = world.scene.plan, world.log
        self._world, self._plan, self._calm_ms = world, plan, calm_ms
        self._view = RoundsView(plan.study, plan.digest)
        self._model = world.scene.vectors.first()  # the newest version
        self._offers: dict[Name, SentOffer] = {}
        self._headers: dict[bytes, SentOffer] = {}
        self._receipts = ReceiptChecks(world)
        self._judged = JudgedChecks(plan, log)
        self._sites = SiteChecks(world)
        self._keys = KeyChecks(world)
        self._request: Request | None = None  # the newest
        self._version_ms = 0

    # -- sites

    def on_sealed(self, site: str, sequence: int, base_version: int, training: int, now_ms: int) -> None:
        self._sites.sealed((site, sequence))
        self._receipts.sealed.add((site, sequence))

    def on_offered(self, site: str, offset: int, offer: SentOffer, now_ms: int) -> None:
        if offer.intact and offer.signer == site == offer.fact.site:
            self._offers.setdefault((site, offer.fact.sequence), offer)
            self._headers[offer.fact.header] = offer

    def on_evaluation(self, fact: Evaluated, now_ms: int) -> None:
        self._judged.evaluations[fact.digest] = fact

    def on_settled(self, site: str, sequence: int, outcome: str, now_ms: int) -> None:
        self._receipts.settled((site, sequence), outcome)
        self._sites.settled((site, sequence), outcome, self._offers.get((site, sequence)))

    def on_ended(self, process: str, reason: str, now_ms: int) -> None:
        if reason == LEFT:
            self._sites.left(process)

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
        if memory.facts > WAITING_MAX or memory.offers > members * (BEHIND_MAX + 1) + WAITING_MAX:
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
        asked = self._view.open_request
        self._receipts.asked = {(one.site, one.sequence) for one in asked.entries} if asked is not None else set()
        self._receipts.committed(receipts, self._request, announced)
        if announced is not None:
            self._version_ms = now_ms
            self._keys.announced(announced)

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
        log = self._world.log
        if log.model(announced.model) is None:
            raise Broken("no-model", f"version {announced.version} is announced, its model cannot be fetched")
        if request is not None and isinstance(self._world.scene.vectors, UnitVectors):
            coefficients = {(entry.site, entry.sequence): entry.weight for entry in request.entries}
            self._model = next_model(self._model, coefficients, len(request.entries))
            if self._model.digest != announced.model.digest:
                raise Broken("other-model", f"version {announced.version} is not what its Request gives")
            if self._model.moments and (
                announced.state is None or log.models.get(announced.state.body.runs[0][0]) is None
            ):
                raise Broken("no-model", f"version {announced.version} is announced without its optimiser's state")
        self._judged.announced(announced)

    def on_keys(self, given: Sequence[Given], now_ms: int) -> None:
        self._keys.given(given)

    def on_bookmark(self, bookmark: Marked, now_ms: int) -> None:
        """What it says is true of the log, whoever wrote it."""
        self._receipts.bookmarked(bookmark)
        self._judged.bookmarked(bookmark)

    def on_broken(self, breach: str, sentence: str, now_ms: int) -> None:
        raise Broken(breach, sentence)

    # -- the whole

    def look(self, now_ms: int) -> None:
        """From time to time: is there progress, once all is well?"""
        self._sites.look()
        quiet_ms = now_ms - max(self._calm_ms, self._version_ms)
        if not self._world.final and quiet_ms > PROGRESS_MS:
            request = self._view.open_request
            if request is not None:
                raise Broken("open-request", f"the Request of version {request.version} is never finished")
            raise Broken("no-progress", f"no version for {quiet_ms / 60_000:.0f} minutes although all is well")

    def at_rest(self) -> None:
        """The study is over and everybody has heard of it: nothing waits any more, nothing is unaccounted for."""
        self._sites.at_rest()
        self._keys.at_rest()
        self._receipts.at_rest(self._offers)
