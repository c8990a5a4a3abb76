"""One study of the coordinator that leads: a queue of facts, its core, and the effects in order, on virtual time.

Knows:    what its process holds in memory: spooled bodies under a budget, the sum, receipts not written yet.
Never:    decides; goes on after another one has taken over.
Source:   coordinator/shell/study.py, offers.py and bodies.py, which it stands for.
"""

from collections import deque
from collections.abc import Iterable

from coordinator.core import events as seen
from coordinator.core.bookmark import Marked, bookmark_of, remembered
from coordinator.core.events import Effect, Event, OfferFact
from coordinator.core.study import StudyCore
from coordinator.strategies.suspicion import hold_ms
from protocol.rounds import RoundsView
from schemas.records import Command
from simulation.clock import NEVER_MS, ProcessEnded, Timer, cancel
from simulation.lead import Fact, Heard, Lead, Leader, MembersChanged
from simulation.observe import InMemory
from simulation.publish import Publisher
from simulation.reading import OffersReader
from simulation.records import BOOKMARK_KEY, Model, SentOffer
from simulation.roster import holding
from simulation.rounds import Rounds
from simulation.spool import Spool

LIMIT_MS = 10_000


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
        asked: Iterable[SentOffer] = (),
    ) -> None:
        """`firsts`: where the newest versions on the log lie on `models`, in order; `asked`: of an open Request."""
        super().__init__(node, core, dict(bookmark.positions) if bookmark is not None else {})
        self._bookmark = bookmark
        self.spool = Spool(self)
        for offer in asked:
            self.spool.hear(offer)
        self.reader = OffersReader(self)
        self.rounds = Rounds(self, self.spool, view, model, publisher, firsts)
        self._members: frozenset[str] = frozenset()
        self._todo: deque[Effect] = deque()
        self._began_ms = node.now_ms()
        self._wake: Timer | None = None
        self._wake_ms = NEVER_MS

    def begin(self) -> None:
        """Tell the core who belongs, then read offers from where receipts and bookmark say.

        A predecessor may have died between the keys and the Announcement, and the roster changed since.
        """
        self._members = self.node.roster.sites
        self.rounds.under_current_key(self._begin)

    def _begin(self) -> list[Effect]:
        """Before anything else the commands: a paused study stays so."""
        first: list[Fact] = [seen.Commanded(self._holding()), seen.SitesChanged(self._members)]
        first += remembered(self._bookmark, self.core.version, self.rounds.model.digest)
        self.queue.extendleft(reversed(first))
        self.reader.assign(self._members)
        self.rounds.trim()
        return []

    def commanded(self) -> None:
        """An operator has said something: what holds now is heard in turn."""
        self.post(seen.Commanded(self._holding()))

    def members_changed(self) -> None:
        """The roster changed: looked at before anything else."""
        self.queue.appendleft(MembersChanged())
        if not self.busy:
            self._work()

    def _members_changed(self) -> None:
        """Keys first, then the newest version under a new one; then whom to read, whose word holds, who belongs."""
        self._members = self.node.roster.sites
        self.rounds.under_current_key(self._look_again)

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
        if not self.busy:
            self._work()

    def _work(self) -> None:
        while self.queue and not self.busy:
            event = self.queue.popleft()
            if isinstance(event, MembersChanged):
                self._members_changed()
                continue
            if isinstance(event, Heard):
                self._mark(event)
                continue
            if isinstance(event, SentOffer):
                event = self.spool.hear(event)
            self._todo.extend(self.tell(event))
            self._do()
            if isinstance(event, seen.Tick) and not self.busy:
                self.rounds.flush()
        self._after_work()

    def _mark(self, heard: Heard) -> None:
        """A bookmark: written before anything else is done, also by a process that was overtaken and does not know."""
        if self.scene.log.hidden:  # what it would rest on may yet be taken back
            return
        bookmark = bookmark_of(self.core, self.marked, heard.positions, self.rounds.pending)
        self.marked = dict(bookmark.positions)
        self.scene.log.bookmark.append(bookmark, BOOKMARK_KEY)
        self.scene.story.bookmarked(bookmark)

    def _after_work(self) -> None:
        memory = InMemory(self.spool.used_bytes, len(self.queue), len(self.spool))
        self.scene.story.handled(self.node.name, memory)
        self.reader.more()
        self._arm()

    def resume(self, effects: list[Effect]) -> None:
        """What was waited for is done: go on with what follows from it."""
        self._todo.extendleft(reversed(effects))
        self.busy = False
        self._do()
        if not self.busy:
            self._work()

    def _arm(self) -> None:
        """Ticks come when time alone may change something; the real shell ticks ten times a second."""
        rule, due = self.plan.aggregation, []
        now_ms = self.node.now_ms()
        if self.rounds.pending.due_ms is not None:
            due.append(max(self.rounds.pending.due_ms, now_ms + 1))
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
        while todo and not self.busy:
            effect = todo.popleft()
            if node.doom is not None:
                node.hazard(type(effect).__name__)
            match effect:
                case seen.Add():
                    self.rounds.sum.add(self.spool.take(effect.offer), effect.weight)
                case seen.Fetch():
                    self.spool.fetch(effect.offer, effect.number)
                case seen.Decide():
                    self.rounds.pending.add(effect.receipt)
                case seen.Drop():
                    self.spool.drop(effect.offer)
                case seen.Unload():
                    self.spool.unload(effect.offer)
                case seen.Ignored():
                    self.spool.ignore(effect.offer)
                case seen.Ask():
                    self.rounds.ask(effect.cohort)
                case seen.Close():
                    self.rounds.close(effect)
                case seen.Fail():
                    self.rounds.fail(effect)
                case seen.Remove():
                    self._remove(effect.offer, effect.weight)
                case seen.End():
                    self.rounds.end(effect)
                case seen.Hold():
                    self.reader.hold(effect.site)
                case seen.Release():
                    self.reader.release(effect.site)

    def _remove(self, offer: OfferFact, weight: int) -> None:
        """Take an added body out again. One that has gone meanwhile ends the process: the log rebuilds it."""
        body = self.spool.find(offer)
        if body is None:
            raise ProcessEnded("a body that has to be taken out is gone")
        self.rounds.sum.add(body, -weight)

    def tell(self, event: Event) -> list[Effect]:
        """Tell the core; the effects are not done yet."""
        self.scene.story.note(self.node.name, event)
        return self.core.on(event, self.node.now_ms())
