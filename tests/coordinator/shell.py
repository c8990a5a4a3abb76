"""One coordinator after the other on a log that survives them: what their core asks for is done, and judged.

Knows:    what each effect obliges a shell to do, and what the log may never say. Each update is its own unit vector,
          so the running sum is a counter: a 2 is a replay, a 0 a loss.
Never:    looks into the core: it is judged by its effects alone.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from coordinator.core import events as seen
from coordinator.core.bookmark import bookmark_of, remembered
from coordinator.core.events import Close, Cohort, Decide, Effect, Event, Fail, OfferFact
from coordinator.core.pending import Pending
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress
from coordinator.strategies.suspicion import SUSPECTED_AFTER
from protocol.judging import judge
from schemas.plan import Plan
from schemas.records import Outcome, Receipt, Stop
from tests.coordinator.decisions import Decisions
from tests.coordinator.judging import check_close, check_cohort, check_reason
from tests.coordinator.log import Ending, Log, Name, model_digest, name_of


class Shell:
    """Does what one StudyCore asks for; the next one begins where the log says."""

    def __init__(self, plan: Plan, sites: Iterable[str], *, apart: bool) -> None:
        """`apart`: a Request is committed before what ends it."""
        self.plan, self.apart = plan, apart
        self.sites = sorted(sites)
        self.members = frozenset(self.sites)
        self.log = Log({site: [] for site in self.sites})
        self.decisions = Decisions(self.log)
        self.now_ms = 1_000_000
        self.ending = Ending.COMMIT
        self.die_after: int | None = None  # effects that the coordinator still does
        self.ignored: list[OfferFact] = []
        self.decides: list[Decide] = []
        self._start()

    # -- the process

    def _start(self) -> None:
        reach = range(max(0, self.log.version - self.plan.aggregation.staleness_max), self.log.version + 1)
        self._born: dict[str, Any] = {
            "version": self.log.version,
            "models": {version: model_digest(version) for version in reach},
            "receipts": tuple(self.log.receipts.values()),
            "progress": self.log.progress,
            "suspicion": self.log.suspicion,
            "final": self.log.stop is not Stop.NONE,
            "asked": self.log.open_request(),
            "apart": self.apart,
            "now_ms": self.now_ms,
        }
        self.core = StudyCore(self.plan, **self._born)
        self.heard: list[tuple[Event, int, list[Effect]]] = []
        self.round_ms = self.began_ms = self.now_ms
        self.sum: Counter[Name] = Counter()
        self.fetching: dict[Name, seen.Fetch] = {}
        self.answers: list[seen.BodyReady | seen.BodyUnusable] = []  # whatever any fetch may have to say
        self.spooled: set[Name] = set()
        self.pending = Pending(self.now_ms)
        self.asked: Counter[Name] = Counter()
        self.held: set[str] = set()
        self.closing: tuple[Close, Progress] | None = None
        self.evaluations: dict[str, seen.Evaluated] = {}
        self.position = {site: self.log.first(site, self.core) for site in self.sites}
        self.decisions.restart(self.core.next_offset)
        self.on(seen.Commanded(tuple(self.log.commands)))
        self.on(seen.SitesChanged(self.members))
        for told in remembered(self.log.bookmark, self.log.version, model_digest(self.log.version)):
            if told.site in self.members and told.site not in self.log.orders.excluded:
                self.evaluations[told.site] = told
            self.on(told)

    def bookmark(self) -> None:
        """Write down what a successor need not read; nobody does while a round is being written."""
        if self.closing is None:
            self.log.bookmark = bookmark_of(self.core, self.log.positions, self.position, self.pending)

    def crash(self) -> None:
        """Everything that was not committed is gone; a successor reads on where receipts and bookmark say."""
        self.check_deterministic()
        self._start()

    def on(self, event: Event) -> list[Effect]:
        effects = self.core.on(event, self.now_ms)
        self.heard.append((event, self.now_ms, effects))
        self._do(effects)
        return effects

    def check_deterministic(self) -> None:
        """The same facts at the same times make the same effects, in the same order."""
        twin = StudyCore(self.plan, **self._born)
        for event, now_ms, effects in self.heard:
            assert twin.on(event, now_ms) == effects

    def flush(self) -> None:
        """The transaction for receipts outside a round."""
        self.decisions.commit(self.pending.with_cohort(()))

    # -- effects

    def _do(self, effects: list[Effect]) -> None:
        for at, effect in enumerate(effects):
            if self.die_after is not None:
                self.die_after -= 1
                if self.die_after < 0:
                    self.die_after = None
                    self.crash()
                    return
            assert not isinstance(effect, seen.Ask | Close | Fail) or at == len(effects) - 1, (
                "what follows would meet an old core"
            )
            self._do_one(effect)

    def _do_one(self, effect: Effect) -> None:
        match effect:
            case seen.Fetch(offer, number):
                name = name_of(offer)
                assert name not in {*self.fetching, *self.spooled, *self.sum}
                self.fetching[name] = effect
                self.answers += (seen.BodyReady(*name, number), seen.BodyUnusable(*name, None, number))
            case seen.Add(offer, weight):
                self.spooled.remove(name_of(offer))
                self.sum[name_of(offer)] += weight
            case seen.Remove(offer, weight):
                assert self.sum.pop(name_of(offer)) == weight
            case seen.Unload(offer):
                assert self.log.orders.paused
                self.fetching.pop(name_of(offer), None)
                self.spooled.discard(name_of(offer))
            case seen.Drop(offer):
                self.fetching.pop(name_of(offer), None)
                self.spooled.discard(name_of(offer))
            case seen.Decide():
                self._decide(effect)
            case seen.Ask(cohort):
                self._ask(cohort)
            case seen.Close():
                self._close(effect)
            case seen.Fail():
                self._fail(effect)
            case seen.End(stop):
                self.log.stop = stop
            case seen.Hold(site):
                assert site not in self.held
                self.held.add(site)
            case seen.Release(site):
                self.held.remove(site)
            case seen.Ignored(offer):
                self.ignored.append(offer)
                self.decisions.repeated(offer)

    def _decide(self, effect: Decide) -> None:
        receipt = effect.receipt
        self.decides.append(effect)
        if effect.refused is None:
            assert receipt.outcome == Outcome.AGAIN
            self.asked[receipt.site, receipt.sequence] += 1
        else:
            assert receipt.outcome == Outcome.REFUSED
            check_reason(self, effect.refused, receipt.code)
        self.decisions.note(receipt)
        self.pending.add(receipt)

    def _ask(self, cohort: Cohort) -> None:
        assert self.apart
        check_cohort(self, cohort)
        if self.ending is Ending.DIE:
            self.ending = Ending.COMMIT
            self.crash()
            return
        self.log.asked = cohort
        if self.ending is Ending.ASK_AND_DIE:
            self.ending = Ending.COMMIT
            self.crash()
            return
        self.on(seen.Asked())

    def _close(self, close: Close) -> None:
        assert self.closing is None, "one Request at a time"
        assert (self.log.asked is not None) or not self.apart
        check_close(self, close)
        heard = {one.site: (one.value, one.weight) for one in self.evaluations.values()}
        progress = self.log.progress.after(
            judge(self.plan, heard), higher_is_better=self.plan.evaluation.higher_is_better
        )
        assert close.patience == progress.patience
        self.closing = close, progress
        ending, self.ending = self.ending, Ending.COMMIT
        if ending in (Ending.DIE, Ending.ASK_AND_DIE):
            self.crash()
        elif ending is not Ending.LATER:
            self.end_round(failed=ending is Ending.FAIL)

    def _fail(self, fail: Fail) -> None:
        assert self.log.asked is None or fail.cohort.entries == self.log.asked.entries
        assert [receipt.site for receipt in fail.receipts] == [entry.site for entry in fail.cohort.entries]
        self._write(fail.receipts)
        self.log.failed.append(fail.cohort)
        if fail.code in SUSPECTED_AFTER:
            self.log.suspicion = self.log.suspicion.after_failed(entry.site for entry in fail.cohort.entries)
        self.on(seen.Undone())

    def end_round(self, *, failed: bool = False) -> None:
        """The open Request ends, and its receipts leave with it; nothing when none is open."""
        if self.closing is None:
            return
        (close, progress), self.closing = self.closing, None
        assert self.sum == {(entry.site, entry.sequence): entry.weight for entry in close.entries}
        if failed:
            self.on(seen.Wrong("range"))
            return
        self.on(seen.Stepped())
        self._write(close.receipts)
        self.log.closes.append(close)
        self.log.suspicion = self.log.suspicion.after_counted([entry.site for entry in close.entries])
        self.log.version, self.log.stop = close.version, close.stop
        self.log.progress = progress
        self.evaluations.clear()
        self.on(seen.Committed(close.version, model_digest(close.version)))

    def _write(self, receipts: tuple[Receipt, ...]) -> None:
        """The transaction that ends a round."""
        for receipt in receipts:
            self.decisions.note(receipt)
        self.decisions.commit(self.pending.with_cohort(receipts))
        self.sum.clear()
        self.log.asked, self.round_ms = None, self.now_ms
