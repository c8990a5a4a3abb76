"""A federation without a broker: simulated sites, a log that survives a crash, and the core between them.

Knows:    what each effect obliges a shell to do, and what the log may never say. Each update is its own unit vector,
          so the running sum is a counter: a 2 is a replay, a 0 a loss.
Never:    looks into the core: it is judged by its effects alone.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from coordinator.core import events as seen
from coordinator.core.bookmark import bookmark_of, remembered
from coordinator.core.closing import OpenRequest
from coordinator.core.events import Close, Cohort, Decide, Effect, Event, Fail, OfferFact
from coordinator.core.offers import BEHIND_MAX, NOWHERE
from coordinator.core.pending import Pending
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress
from coordinator.strategies.suspicion import SUSPECTED_AFTER, hold_ms
from protocol.judging import judge
from protocol.orders import Orders
from schemas.plan import Plan
from schemas.records import RECENT_MAX, Action, Command, Outcome, Receipt, Stop
from tests.coordinator.judging import check_close, check_cohort, check_reason
from tests.coordinator.log import Body, Ending, Log, Name, is_final, model_digest, name_of


class Driver:
    """Plays the shell, the sites and the broker for one StudyCore; asserts what must hold at every step."""

    def __init__(self, plan: Plan, sites: Iterable[str], *, obey_hold: bool = True, apart: bool = False) -> None:
        """`apart`: a Request is committed before what ends it."""
        self.plan, self.apart = plan, apart
        self.sites = sorted(sites)
        self.members = frozenset(self.sites)
        self.log = Log({site: [] for site in self.sites})
        self.now_ms = 1_000_000
        self.ending = Ending.COMMIT
        self.die_after: int | None = None  # effects that the coordinator still does
        self.obey_hold = obey_hold
        self.ignored: list[OfferFact] = []
        self.decides: list[Decide] = []
        self._asked_to: dict[Name, int] = {}  # before which offset an `again` answers every offer of an update
        self._next_sequence = dict.fromkeys(self.sites, 0)
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
            "asked": self._open_request(),
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
        self._repeated: set[tuple[str, int]] = set()  # offsets that this process ignored
        self.pending = Pending(self.now_ms)
        self._unwritten: dict[Name, tuple[int, str | None]] = {}
        self.asked: Counter[Name] = Counter()
        self.held: set[str] = set()
        self.closing: tuple[Close, Progress] | None = None
        self.evaluations: dict[str, seen.Evaluated] = {}
        self.position = {site: self._first(site) for site in self.sites}
        self._passed = {site: self.core.next_offset(site) for site in self.sites}  # up to where receipts were checked
        self.highest = dict.fromkeys(self.sites, -1)  # sequence decided for good
        for (site, sequence), (outcome, _) in self.log.decided.items():
            if is_final(outcome):
                self.highest[site] = max(self.highest[site], sequence)
        self.on(seen.Commanded(tuple(self.log.commands)))
        self.on(seen.SitesChanged(self.members))
        for told in remembered(self.log.bookmark, self.log.version, model_digest(self.log.version)):
            if told.site in self.members and told.site not in self.orders.excluded:
                self.evaluations[told.site] = told
            self.on(told)

    def _open_request(self) -> OpenRequest | None:
        """What a successor reads of a Request that nothing has ended."""
        if (asked := self.log.asked) is None:
            return None
        return OpenRequest(asked.entries, tuple(replace(offer, offset=NOWHERE) for offer in asked.offers))

    def bookmark(self) -> None:
        """Write down what a successor need not read; nobody does while a round is being written."""
        if self.closing is None:
            former = dict(self.log.bookmark.positions) if self.log.bookmark is not None else {}
            self.log.bookmark = bookmark_of(self.core, former, self.position, self.pending)

    def _first(self, site: str) -> int:
        marked = dict(self.log.bookmark.positions) if self.log.bookmark is not None else {}
        return max(self.core.next_offset(site), marked.get(site, 0))

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

    # -- the sites

    def offer(self, site: str, *, base: int | None = None, body: Body = Body.GOOD, **other: Any) -> OfferFact:
        """Append an offer to the site's topic: honest and fresh, but for what `other` replaces."""
        offset = len(self.log.offers[site])
        sequence: int = other.pop("sequence", self._next_sequence[site])
        self._next_sequence[site] = max(self._next_sequence[site], sequence + 1)
        version = self.log.version if base is None else base
        honest = OfferFact(
            site=site,
            offset=offset,
            sequence=sequence,
            header=hashlib.sha256(f"{site}/{sequence}".encode()).digest(),
            base_version=version,
            base_digest=model_digest(version),
            plan=self.plan.digest,
            d=self.plan.d,
            size_bytes=self.plan.body_bytes,
            cohort_min=self.plan.aggregation.cohort_min,
            trustees=0,
        )
        fact = replace(honest, **other)
        self.log.offers[site].append((fact, body))
        return fact

    def offer_again(self, site: str, sequence: int, *, body: Body = Body.GOOD) -> OfferFact:
        """The site sends an update once more: a new Offer round the same header."""
        earlier = next(sent[0] for sent in self.log.offers[site] if sent and sent[0].sequence == sequence)
        fact = replace(earlier, offset=len(self.log.offers[site]))
        self.log.offers[site].append((fact, body))
        return fact

    def evaluate(self, site: str, value: float, *, weight: float = 1.0) -> None:
        """The site measured the newest version; the record stands on its topic, and is read at once."""
        digest = hashlib.sha256(f"{site} {self.log.version} {value}".encode()).digest()
        version = self.log.version
        self.log.offers[site].append(None)
        told = seen.Evaluated(site, version, model_digest(version), digest, float(value), float(weight))
        if site not in self.orders.excluded:
            self.evaluations[site] = told
        self.on(told)

    def presence(self, site: str) -> None:
        self.log.offers[site].append(None)

    def send(self, site: str, **other: Any) -> OfferFact:
        """Offer, read, and fetch whatever is to be fetched: the short way for examples."""
        fact = self.offer(site, **other)
        self.read_all(site)
        self.fetch_all()
        return fact

    # -- the broker

    def read(self, site: str) -> bool:
        """Deliver the site's next record; False when there is none, or the core asked not to."""
        if self.position[site] >= len(self.log.offers[site]) or (self.obey_hold and site in self.held):
            return False
        self.position[site] += 1
        self._deliver(site, self.position[site] - 1)
        return True

    def read_all(self, *sites: str) -> None:
        for site in sites or self.sites:
            while self.read(site):
                pass

    def redeliver(self, site: str, back: int) -> None:
        """Deliver a record that was delivered before."""
        if self.position[site] - 1 - back >= 0:
            self._deliver(site, self.position[site] - 1 - back)

    def _deliver(self, site: str, offset: int) -> None:
        sent = self.log.offers[site][offset]
        if sent is not None:
            self.on(sent[0])

    def fetch(self, index: int) -> None:
        """One of the fetches under way ends."""
        if self.fetching:
            name = sorted(self.fetching)[index % len(self.fetching)]
            fetch = self.fetching.pop(name)
            offer = fetch.offer
            body = self._sent(offer)
            if body is Body.GOOD:
                self.spooled.add(name)
                self.on(seen.BodyReady(*name, fetch.number))
            else:
                self.on(seen.BodyUnusable(*name, None if body is Body.GONE else "range", fetch.number))

    def _sent(self, offer: OfferFact) -> Body:
        """The body of an offer; one that was read from a cohort's body does not say where it lies."""
        topic = self.log.offers[offer.site]
        places = range(len(topic)) if offer.offset == NOWHERE else [offer.offset]
        return next(sent[1] for at in places if (sent := topic[at]) is not None and sent[0].header == offer.header)

    def fetch_all(self) -> None:
        while self.fetching:
            self.fetch(0)

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.on(seen.Tick())

    def flush(self) -> None:
        """The transaction for receipts outside a round."""
        self._commit(self.pending.with_cohort(()))

    def change_members(self, members: Iterable[str]) -> None:
        """A new roster. Who left is not read any more; who comes (back) is read from its next offset."""
        joined = frozenset(members) - self.members
        self.members = frozenset(members)
        self.on(seen.SitesChanged(self.members))
        for site in joined:
            self.position[site] = self._first(site)

    def command(self, action: Action, *, site: str | None = None, version: int | None = None) -> None:
        """An operator's command stands on the log, and the core hears of it."""
        self.log.commands.append(Command(self.plan.study, len(self.log.commands), action, site, version, "as agreed"))
        if site is not None and action is Action.EXCLUDE:
            self.evaluations.pop(site, None)
        self.on(seen.Commanded(tuple(self.log.commands)))

    @property
    def orders(self) -> Orders:
        return Orders.of(self.log.commands)

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
                assert self.orders.paused
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
                self._repeated.add((offer.site, offer.offset))

    def _decide(self, effect: Decide) -> None:
        receipt = effect.receipt
        self.decides.append(effect)
        if effect.refused is None:
            assert receipt.outcome == Outcome.AGAIN
            self.asked[receipt.site, receipt.sequence] += 1
        else:
            assert receipt.outcome == Outcome.REFUSED
            check_reason(self, effect.refused, receipt.code)
        self._note(receipt)
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
            self._note(receipt)
        self._commit(self.pending.with_cohort(receipts))
        self.sum.clear()
        self.log.asked, self.round_ms = None, self.now_ms

    # -- what must hold

    def _note(self, receipt: Receipt) -> None:
        """A decision was taken: no final one is taken twice, and its position passes nothing undecided."""
        site, name = receipt.site, (receipt.site, receipt.sequence)
        for known in (self.log.decided, self._unwritten):
            assert name not in known or not is_final(known[name][0]), f"{name} is decided twice"
        self._unwritten[name] = (receipt.outcome, receipt.code)
        if is_final(receipt.outcome):
            self.highest[site] = max(self.highest[site], receipt.sequence)
        else:
            self._asked_to[name] = receipt.next_offset
        highest = self.highest[site]
        for sent in self.log.offers[site][self._passed[site] : receipt.next_offset]:
            asked = sent is not None and self._is_answered_by_again(sent[0])
            assert sent is None or asked or sent[0].sequence <= highest, f"{sent} is skipped"
        assert self._passed[site] <= receipt.next_offset
        self._passed[site] = receipt.next_offset
        assert receipt.next_offset <= len(self.log.offers[receipt.site])
        assert len(receipt.recent) <= RECENT_MAX
        assert (receipt.recent[-1].sequence, receipt.recent[-1].outcome) == (receipt.sequence, receipt.outcome)
        written = [past.sequence for past in receipt.recent if is_final(past.outcome)]
        assert max(written, default=-1) == highest, "a successor would not know what is decided"

    def _is_answered_by_again(self, offer: OfferFact) -> bool:
        """Whether `again` was said after this offer was met: as itself, or as the repetition of one that waited."""
        return offer.offset < self._asked_to.get(name_of(offer), 0) or (
            name_of(offer) in self._asked_to and (offer.site, offer.offset) in self._repeated
        )

    def _commit(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            before = self.log.receipts.get(receipt.site)
            assert before is None or before.next_offset <= receipt.next_offset
            self.log.receipts[receipt.site] = receipt
            for name in [name for name in self._unwritten if name[0] == receipt.site]:
                self.log.decided[name] = self._unwritten.pop(name)
            for past in receipt.recent:
                outcome, code = self.log.decided[receipt.site, past.sequence]
                overtaken = outcome == Outcome.AGAIN and (past.outcome, past.code) == (Outcome.REFUSED, "duplicate")
                assert overtaken or (past.outcome, past.code) == (outcome, code)

    # -- the end of a play

    def settle(self) -> None:
        """Everybody is back and everything works: read, fetch, send again what is asked for, until nothing moves."""
        self.ending, self.die_after = Ending.COMMIT, None
        self.end_round()
        self.change_members(self.sites)
        self.command(Action.RESUME)
        for site in self.orders.excluded:
            self.command(Action.INCLUDE, site=site)
        for _ in range(200):
            before = (self.log.version, len(self.decides), dict(self.position), sum(map(len, self.log.offers.values())))
            self.read_all()
            self.fetch_all()
            self.flush()
            for site, sequence in self.asked_again():
                self.offer_again(site, sequence)
            self.wait(hold_ms(self.plan.aggregation.deadline_ms))
            sent = sum(map(len, self.log.offers.values()))
            if before == (self.log.version, len(self.decides), dict(self.position), sent):
                self.check_deterministic()
                return
        raise AssertionError("it never comes to rest")

    def asked_again(self) -> list[Name]:
        """Updates whose body the site has to send once more."""
        return [
            name
            for name, (outcome, _) in sorted(self.log.decided.items())
            if not is_final(outcome)
            and name[1] > self.highest[name[0]]
            and not any(
                sent and name_of(sent[0]) == name and not self._is_answered_by_again(sent[0])
                for sent in self.log.offers[name[0]]
            )
        ]

    def undecided(self) -> dict[str, list[OfferFact]]:
        """Offers on the log that have no final answer, by site, in order; empty lists are left out."""
        found: dict[str, list[OfferFact]] = {}
        for site, topic in self.log.offers.items():
            highest = self.highest[site]
            for sent in topic[self.core.next_offset(site) :]:
                if sent and sent[0].sequence > highest:
                    found.setdefault(site, []).append(sent[0])
        return found

    def counted(self) -> Counter[Name]:
        return Counter((entry.site, entry.sequence) for close in self.log.closes for entry in close.entries)

    def remembered_max(self) -> int:
        """The most updates of one site that were delivered and wait: what the core has to hold in memory."""
        return max(
            len({sent[0].sequence for sent in topic[self.core.next_offset(site) : self.position[site]]
                 if sent and sent[0].sequence > self.highest[site] and not self._is_answered_by_again(sent[0])})
            for site, topic in self.log.offers.items()
        )  # fmt: skip


BOUND = BEHIND_MAX + 1  # those behind, and the undecided one
