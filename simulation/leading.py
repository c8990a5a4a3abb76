"""One study of the coordinator that leads: a queue of facts, its core, and the effects in order, on virtual time.

Knows:    what its process holds in memory: spooled bodies under a budget, the sum, receipts not written yet.
Never:    decides; goes on after another one has taken over.
Source:   coordinator/shell/study.py, offers.py, spool.py, trim.py, which it stands for.
"""

from collections import deque
from collections.abc import Callable, Iterable

from coordinator.core import events as seen
from coordinator.core.bookmark import Marked, bookmark_of, remembered
from coordinator.core.events import Close, Effect, Event, OfferFact
from coordinator.core.pending import Pending
from coordinator.core.replay import first_offset
from coordinator.core.study import StudyCore
from coordinator.strategies.suspicion import hold_ms
from protocol.rounds import RoundsRecord, RoundsView
from schemas.errors import PeerError
from schemas.records import Command, Receipt, Stop
from simulation.clock import NEVER_MS, ProcessEnded, Timer, cancel
from simulation.lead import Fact, Heard, Lead, Leader, MembersChanged
from simulation.observe import InMemory
from simulation.process import Point
from simulation.publish import Publisher
from simulation.reading import OffersReader
from simulation.records import BOOKMARK_KEY, Model, SentOffer
from simulation.roster import holding
from simulation.spool import Spool

LIMIT_MS = 10_000

Then = Callable[[], list[Effect]]


class StudyRun(Lead):
    """From taking over to the end of the process, or of its lead."""

    def __init__(
        self,
        node: Leader,
        core: StudyCore,
        view: RoundsView,
        model: Model,
        publisher: Publisher,
        bookmark: Marked | None,
        firsts: Iterable[int],
    ) -> None:
        """`firsts`: where the newest versions on the log lie on `models`, in order."""
        super().__init__(node, core, dict(bookmark.positions) if bookmark is not None else {})
        self.view, self.model = view, model
        self.sum = node.scene.vectors.new_sum()
        self._bookmark = bookmark
        self.spool = Spool(self)
        self.pending = Pending(node.now_ms())
        self.reader = OffersReader(self)
        self._publisher = publisher
        self._members: frozenset[str] = frozenset()
        self._todo: deque[Effect] = deque()
        self._busy = False
        self._began_ms = node.now_ms()
        self._wake: Timer | None = None
        self._wake_ms = NEVER_MS
        self._firsts = deque(firsts, maxlen=self.plan.storage.versions_kept)

    def begin(self) -> None:
        """Tell the core who belongs, then read offers from where receipts and bookmark say."""
        self._members = self.node.roster.sites
        self._busy = True
        then = self._begin  # a predecessor may have died between the keys and the Announcement
        self._publisher.ensure_keys(lambda: self._under_current_key(then))

    def _begin(self) -> list[Effect]:
        """Before anything else the commands: a paused study stays so."""
        first: list[Fact] = [seen.Commanded(self._holding()), seen.SitesChanged(self._members)]
        first += remembered(self._bookmark, self.core.version, self.model.digest)
        self.queue.extendleft(reversed(first))
        self.reader.assign(self._members)
        self._trim()
        return []

    def commanded(self) -> None:
        """An operator has said something: what holds now is heard in turn."""
        self.post(seen.Commanded(self._holding()))

    def members_changed(self) -> None:
        """The roster changed: looked at before anything else."""
        self.queue.appendleft(MembersChanged())
        if not self._busy:
            self._work()

    def _members_changed(self) -> None:
        """Keys first, then the newest version under a new one; then whom to read, whose word holds, who belongs."""
        self._members = self.node.roster.sites
        self._busy = True
        self._publisher.ensure_keys(lambda: self._under_current_key(self._look_again))

    def _under_current_key(self, then: Then) -> None:
        """The newest version once more where its key is not the current one: who joins has that alone."""
        newest = self.view.newest
        assert newest is not None
        if newest.key_epoch == self._publisher.epochs.current:
            self._resume(then())
        else:
            self._commit([self._publisher.again(self.view, Stop(newest.stop))], [], then)

    def _look_again(self) -> list[Effect]:
        self.reader.assign(self._members)
        self.queue.extendleft((seen.SitesChanged(self._members), seen.Commanded(self._holding())))
        return []

    def _holding(self) -> tuple[Command, ...]:
        """The commands that hold by the roster as this process has read it."""
        return holding(self.scene.said, self.node.roster)

    # -- the queue

    def post(self, fact: Fact) -> None:
        self.queue.append(fact)
        if not self._busy:
            self._work()

    def _work(self) -> None:
        while self.queue and not self._busy:
            event = self.queue.popleft()
            if isinstance(event, MembersChanged):
                self._members_changed()
                continue
            if isinstance(event, Heard):
                self._mark(event)
                continue
            if isinstance(event, SentOffer):
                event = self.spool.hear(event)
            self.scene.story.note(self.node.name, event)
            self._todo.extend(self.core.on(event, self.node.now_ms()))
            self._do()
            if isinstance(event, seen.Tick) and not self._busy:
                self._flush()
        self._after_work()

    def _mark(self, heard: Heard) -> None:
        """A bookmark: written before anything else is done, also by a process that was overtaken and does not know."""
        if self.scene.log.hidden:  # what it would rest on may yet be taken back
            return
        bookmark = bookmark_of(self.core, self.marked, heard.positions, self.pending)
        self.marked = dict(bookmark.positions)
        self.scene.log.bookmark.append(bookmark, BOOKMARK_KEY)
        self.scene.story.bookmarked(bookmark)

    def _after_work(self) -> None:
        memory = InMemory(self.spool.used_bytes, len(self.queue), len(self.spool))
        self.scene.story.handled(self.node.name, memory)
        self.reader.more()
        self._arm()

    def _resume(self, effects: list[Effect]) -> None:
        """What was waited for is done: go on with what follows from it."""
        self._todo.extendleft(reversed(effects))
        self._busy = False
        self._do()
        if not self._busy:
            self._work()

    def _arm(self) -> None:
        """Ticks come when time alone may change something; the real shell ticks ten times a second."""
        rule, due = self.plan.aggregation, []
        now_ms = self.node.now_ms()
        if self.pending.due_ms is not None:
            due.append(max(self.pending.due_ms, now_ms + 1))
        if not self.core.final:
            if rule.deadline_ms:
                due.append(now_ms + rule.deadline_ms - self.core.round_age_ms(now_ms))
            if self.core.suspicion.suspects:  # who waits outside a round is looked at again
                hold = hold_ms(rule.deadline_ms)
                due.append(now_ms + hold - self.core.round_age_ms(now_ms) % hold)
            if self.plan.stop.time_s:  # a pause moves it: look again now and then
                due.append(max(self._began_ms + self.plan.stop.time_s * 1000, now_ms + LIMIT_MS))
        wake_ms = min((one for one in due if one > now_ms), default=NEVER_MS)
        if wake_ms != self._wake_ms:
            cancel(self._wake)
            self._wake_ms = wake_ms
            if wake_ms < NEVER_MS:
                self._wake = self.clock.after(wake_ms - now_ms, self.node, self._tick)

    def _tick(self) -> None:
        self._wake_ms = NEVER_MS
        self.post(seen.Tick())

    # -- effects

    def _do(self) -> None:
        todo, node = self._todo, self.node
        while todo and not self._busy:
            effect = todo.popleft()
            if node.doom is not None:
                node.hazard(type(effect).__name__)
            match effect:
                case seen.Add():
                    self.sum.add(self.spool.take(effect.offer), effect.weight)
                case seen.Fetch():
                    self.spool.fetch(effect.offer, effect.number)
                case seen.Decide():
                    self.pending.add(effect.receipt)
                case seen.Drop():
                    self.spool.drop(effect.offer)
                case seen.Unload():
                    self.spool.unload(effect.offer)
                case seen.Ignored():
                    self.spool.ignore(effect.offer)
                case seen.Close():
                    self._close(effect)
                case seen.Remove():
                    self._remove(effect.offer, effect.weight)
                case seen.End():
                    self._announce_again(effect)
                case seen.Hold():
                    self.reader.hold(effect.site)
                case seen.Release():
                    self.reader.release(effect.site)

    def _remove(self, offer: OfferFact, weight: int) -> None:
        """Take an added body out again. One that has gone meanwhile ends the process: the log rebuilds it."""
        body = self.spool.find(offer)
        if body is None:
            raise ProcessEnded("a body that has to be taken out is gone")
        self.sum.add(body, -weight)

    # -- what is written

    def _commit(self, records: list[RoundsRecord], receipts: list[Receipt], effects_after: Then) -> None:
        self._busy = True

        def then() -> None:
            for record in records:
                self.view.add(record)
            self._resume(effects_after())

        self._publisher.commit(records, receipts, then)

    def _flush(self) -> None:
        """Refusals leave in a transaction of their own, at most one a second."""
        receipts = self.pending.flush(self.node.now_ms())
        if receipts:
            self._commit([], receipts, self._flushed)

    def _flushed(self) -> list[Effect]:
        self.pending.flushed(self.node.now_ms())
        return []

    def _close(self, close: Close) -> None:
        """Step, upload, commit; then the core hears of it."""
        self._busy = True
        self.scene.story.closing(self.sum.coefficients, close)
        self.clock.after(self.scene.costs.step_ms, self.node, self._stepped, close)

    def _stepped(self, close: Close) -> None:
        try:
            if self.node.mishaps.overflows:
                self.node.mishaps.overflows -= 1
                raise PeerError("the sum has a word out of range", code="range")
            model, total = self.scene.vectors.step(self.model, self.sum, n=len(close.entries), sum_w=close.sum_w)
        except PeerError as error:
            self._fail(close, error.code)
            return
        arrives_ms = self.node.link.sent_ms(self.clock.now_ms, 4 * self.plan.parameters)
        self.clock.at(arrives_ms, self.node, self._uploaded, close, model, total)

    def _uploaded(self, close: Close, model: Model, total: bytes) -> None:
        self.node.hazard(Point.MODEL)
        body = self._publisher.model(model)
        self.node.hazard(Point.RECORDS)
        request = self._publisher.request(self.view, close)
        announcement = self._publisher.announce(self.view, close, request, body, total)

        def effects_after() -> list[Effect]:
            self.model = model
            self._forget(close)
            self._firsts.append(first_offset(announcement, request))
            self._trim()
            return self._tell(seen.Committed(close.version, model.digest))

        self._commit([request, announcement], self.pending.with_cohort(close.receipts), effects_after)

    def _fail(self, close: Close, code: str) -> None:
        request = self._publisher.request(self.view, close)
        failed = self._publisher.failed(close, request, code)

        def effects_after() -> list[Effect]:
            self._forget(close)
            return self._tell(seen.Undone(code))

        self._commit([request, failed], self.pending.with_cohort(close.voids), effects_after)

    def _announce_again(self, end: seen.End) -> None:
        self._commit([self._publisher.again(self.view, end.stop)], [], list)

    def _tell(self, event: Event) -> list[Effect]:
        self.scene.story.note(self.node.name, event)
        return self.core.on(event, self.node.now_ms())

    def _forget(self, close: Close) -> None:
        self.sum.clear()
        for offer in close.offers:
            self.spool.forget(offer)

    def _trim(self) -> None:
        """The newest `versions_kept` models stay on the log."""
        if len(self._firsts) == self._firsts.maxlen:
            self.scene.log.models.trim(self._firsts[0])
