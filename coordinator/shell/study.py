"""Runs one study: feeds its core verified facts in one queue, and does what the core asks, one effect after another.

Knows:    the order of writing: bodies, then the transaction, then the core hears that it is committed.
Never:    decides; patches the core's state. An error in here ends the process, and the log rebuilds it.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from coordinator.core.bookmark import remembered
from coordinator.core.events import (
    Add,
    Close,
    Commanded,
    Committed,
    Decide,
    Drop,
    Effect,
    End,
    Event,
    Fetch,
    Hold,
    Ignored,
    OfferFact,
    Release,
    Remove,
    SitesChanged,
    Tick,
    Undone,
    Unload,
)
from coordinator.core.pending import Pending
from coordinator.core.replay import models_in_reach
from coordinator.core.site import Phase
from coordinator.core.study import StudyCore
from coordinator.shell.bodies import Bodies
from coordinator.shell.bookmarks import Bookmarks, Heard
from coordinator.shell.epochs import Epochs
from coordinator.shell.growing import Growing
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.making import Making, vector_path
from coordinator.shell.offers import CommandSeen, OffersReader, Seen
from coordinator.shell.publish import Publisher, remove_quietly
from coordinator.shell.restore import (
    fetch_initial,
    fetch_model,
    fetch_state,
    read_progress,
    read_study,
    take_command,
)
from coordinator.shell.services import Services, now_ms
from coordinator.shell.trim import Trimmer
from coordinator.shell.vectors import Stepped, Stored
from protocol.commands import CommandLog
from protocol.fixed_point import Encoding
from protocol.rounds import RoundsView
from runtime.lines import LineBudget
from runtime.service import first_error
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Action, Announcement, Outcome, PlanRecord, Stop
from transport.reading.log import Entry

QUEUE_MAX = 1024
TICK_S = 0.1

log = structlog.get_logger()


class StudyRunner:
    """One study of one coordinator."""

    def __init__(self, services: Services, plan: Plan, record: PlanRecord) -> None:
        self.plan = plan
        self._record = record
        self._services = services
        self._log = log.bind(study=plan.study)
        self._folder = services.folder / plan.study
        self._encoding = Encoding.from_plan(plan)
        self._epochs = Epochs(services, plan)
        self._publisher = Publisher(services, plan, self._epochs)
        self._making = Making(services, plan, self._publisher, self._folder)
        self._queue: asyncio.Queue[Event | VerifiedOffer | CommandSeen | Heard] = asyncio.Queue(QUEUE_MAX)
        self._bodies = Bodies(services, plan, self._encoding, self._queue.put)
        self._newer_roster = False
        self._pending = Pending(now_ms())
        self._lines = LineBudget(burst=20, every_s=3.0)  # of a site's updates that do not count
        self._commands: CommandLog
        self._next_command = 0
        self._view: RoundsView
        self._core: StudyCore
        self._model: Stored
        self._state: Stored | None = None
        self._bookmarks = Bookmarks(services, plan)
        self._remembered: list[Event] = []
        self._offers = OffersReader(services, plan, self._bookmarks, self._hear)
        self._trimmer = Trimmer(services, plan)
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Run until cancelled. Raises PeerError when the study's log cannot be trusted; nothing is written then.

        Raises Fenced and CommitUnknown when another process leads this study, or may: nothing here is true any more.
        """
        try:
            await self._restore()
            await self._lead()
        finally:
            study = self.plan.study
            self._services.transactions.forget((topics.rounds(study), topics.receipts(study), topics.keys(study)))
            self._bodies.close()
            await self._offers.close()

    async def _lead(self) -> None:
        self._services.metrics.goal.labels(self.plan.study).set(self.plan.aggregation.goal)
        await self._obey()  # before anything else: a study that is paused stays so in other hands
        for event in (SitesChanged(self._sites()), *self._remembered):
            await self._do(self._core.on(event, now_ms()))
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(
                    self._offers.run(self._core.next_offset, self._next_command), name=f"offers {self.plan.study}"
                )
                tasks.create_task(self._tick(), name=f"tick {self.plan.study}")
                tasks.create_task(self._trimmer.run(), name=f"trim {self.plan.study}")
                tasks.create_task(self._act(), name=f"act {self.plan.study}")
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    def membership_changed(self) -> None:
        """Tell the study that the directory holds a newer roster; it looks at it before the next event.

        Not by the queue: it is full while a study writes over a slow link, and nobody else may wait for that.
        """
        self._newer_roster = True

    def _sites(self) -> frozenset[str]:
        return frozenset(self._services.membership.sites(self.plan.study))

    async def _hear(self, seen: Seen) -> None:
        await self._queue.put(seen)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._queue.put(Tick())

    async def _act(self) -> None:
        while True:
            event = await self._queue.get()
            await asyncio.sleep(0)  # a full queue never waits: without this a thousand offers would hold up the loop
            if self._newer_roster:
                self._newer_roster = False
                await self._members_changed()
            if isinstance(event, CommandSeen):
                await self._command(event.entry)
                continue
            if isinstance(event, Heard):
                await self._bookmarks.write(event, self._core, self._pending)
                continue
            if isinstance(event, VerifiedOffer):
                self._bodies.know(event)
                event = event.fact
            await self._do(self._core.on(event, now_ms()))
            if isinstance(event, Tick):
                self._observe()
                await self._flush()

    # -- beginning

    async def _restore(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            old.unlink()
        restored, ends = await read_study(self._services, self.plan), {}
        if restored.view.newest is None:
            ends = await self._offers.ends()
            restored = await read_study(self._services, self.plan)  # if still empty, nothing before the ends counts
        self._view = restored.view
        covered = sorted(restored.covered & restored.receipts.keys())
        self._pending = Pending(now_ms(), (restored.receipts[site] for site in covered))
        self._services.transactions.watch(restored.watched)
        self._commands, self._next_command = restored.commands, restored.ends[topics.commands(self.plan.study)]
        await self._epochs.restore()
        self._epochs.require(self._view.newest)
        await self._epochs.ensure(self._services.membership)
        if self._view.newest is None:
            await self._begin(ends)
        else:
            await self._resume(self._view.newest)
        self._trimmer.restored(restored.replay.firsts)
        newest = await self._under_current_key()
        bookmark = await self._bookmarks.read(newest.version)
        self._remembered = [*remembered(bookmark, newest.version, newest.model.digest)]
        self._core = StudyCore(
            self.plan,
            version=newest.version,
            models=models_in_reach(self._view, self.plan),
            receipts=restored.receipts.values(),
            progress=await read_progress(self._services, self.plan, restored, bookmark),
            suspicion=restored.replay.suspicion,
            final=newest.final,
            now_ms=now_ms(),
        )
        self._log.info("study runs", version=newest.version, final=newest.final, goal=self.plan.aggregation.goal)

    async def _begin(self, ends: Mapping[str, int]) -> None:
        self._model = await fetch_initial(self._services, self.plan, self._record, self._path("model", 0))
        placed = await self._publisher.model(0, Growing.whole(self._model.path, self._model.size_bytes))
        await self._bookmarks.begin(ends)
        await self._commit_announcement(self._publisher.first(self._view, placed.at(self._model)))

    async def _resume(self, newest: Announcement) -> None:
        version = newest.version
        services, plan = self._services, self.plan
        self._model = await fetch_model(services, plan, self._epochs, newest, self._path("model", version))
        self._state = await fetch_state(services, plan, newest, self._path("state", version))

    async def _under_current_key(self) -> Announcement:
        """The newest Announcement; first once more under the current key, which who joins has alone.

        The log says whether that was done: a predecessor may have died between the keys and the Announcement.
        """
        assert self._view.newest is not None
        if self._view.newest.key_epoch != self._epochs.current:
            self._log.info("new epoch", epoch=self._epochs.current)
            await self._commit_announcement(self._publisher.again(self._view, _stop(self._view.newest)))
        return self._view.newest

    async def _members_changed(self) -> None:
        await self._epochs.ensure(self._services.membership)
        await self._under_current_key()
        await self._offers.sites_changed()
        await self._obey()
        await self._do(self._core.on(SitesChanged(self._sites()), now_ms()))

    async def _command(self, entry: Entry) -> None:
        if not take_command(self._commands, entry, self._services):
            return
        judged = self._commands.judge(self._services.membership)
        if judged:
            newest = judged[-1]
            outcome = "obeyed" if newest.command is not None else "refused"
            self._services.metrics.commands.labels(self.plan.study, outcome).inc()
            action = Action(newest.command.action).name.lower() if newest.command is not None else None
            said = newest.command.reason if newest.command is not None else newest.reason
            if newest.command is not None:
                self._log.warning("command obeyed", operator=newest.operator, action=action, reason=said)
            else:
                self._services.strangers.say("command refused", entry, said, operator=newest.operator)
        await self._obey()

    async def _obey(self) -> None:
        """Tell the core what the operators want, by the newest roster."""
        held = self._commands.holding(self._services.membership)
        before = self._core.orders
        await self._do(self._core.on(Commanded(held), now_ms()))
        if self._core.orders != before:
            orders = self._core.orders
            self._log.info("orders", paused=orders.paused, stopped=orders.stopped, excluded=sorted(orders.excluded))

    # -- effects

    async def _do(self, effects: list[Effect]) -> None:
        """Effects in order; what a Close leads to follows at once."""
        for effect in effects:
            match effect:
                case Fetch():
                    self._bodies.fetch(effect, self._tasks)
                case Add():
                    await self._bodies.add(effect.offer, effect.weight)
                case Remove():
                    await self._bodies.remove(effect.offer, effect.weight)
                case Unload():
                    self._bodies.unload(effect.offer)
                case Drop():
                    self._bodies.drop(effect.offer)
                case Decide():
                    self._decide(effect)
                case Close():
                    await self._do(self._core.on(await self._close(effect), now_ms()))
                case End():
                    await self._commit_announcement(self._publisher.again(self._view, effect.stop))
                    self._log.info("study ends", reason=effect.stop.name.lower())
                case Hold():
                    self._offers.hold(effect.site)
                case Release():
                    self._offers.release(effect.site)
                case Ignored():
                    self._ignore(effect.offer)

    def _ignore(self, offer: OfferFact) -> None:
        self._bodies.ignore(offer)
        self._count(offer, "ignored", "duplicate")

    def _decide(self, effect: Decide) -> None:
        receipt = effect.receipt
        self._pending.add(receipt)
        outcome = Outcome(receipt.outcome).name.lower()
        self._services.metrics.offers.labels(self.plan.study, outcome, receipt.code or "none").inc()
        update = f"{self.plan.study}/{receipt.site}/{receipt.sequence}"
        unsaid = self._lines.ask(receipt.site, now_ms() / 1000)
        if unsaid is not None:
            self._log.info("offer decided", update=update, outcome=outcome, code=receipt.code, unsaid=unsaid)

    async def _flush(self) -> None:
        """Refusals leave in a transaction of their own, at most one a second."""
        receipts = self._pending.flush(now_ms())
        if receipts:
            await self._publisher.commit([], receipts)
            self._pending.flushed(now_ms())

    # -- a round

    async def _close(self, close: Close) -> Event:
        """Step, upload, commit. Returns what the core hears of it."""
        offers = self._bodies.offers(close)
        try:
            made = await self._making.make(close, self._bodies.sum, self._model, self._state, offers)
        except PeerError as error:
            return await self._fail(close, offers, error)
        request = self._publisher.request(self._view, close, made.cohort)
        announcement = self._publisher.announce(self._view, close, request, made)
        await self._publisher.commit([request, announcement], self._pending.with_cohort(close.receipts))
        self._view.add(request)
        self._view.add(announcement)
        self._after(close, made.stepped)
        self._trimmer.announced(announcement, request)
        return Committed(close.version, made.stepped.model.digest)

    async def _fail(self, close: Close, offers: list[VerifiedOffer], error: PeerError) -> Event:
        self._log.error("round failed", version=close.version, reason=str(error), sites=[o.fact.site for o in offers])
        request = self._publisher.request(self._view, close, await self._publisher.cohort(offers))
        failed = self._publisher.failed(close, request, error.code)
        await self._publisher.commit([request, failed], self._pending.with_cohort(close.voids))
        self._view.add(request)
        self._view.add(failed)
        self._forget(close, "void", error.code)
        return Undone(error.code)

    def _after(self, close: Close, stepped: Stepped) -> None:
        remove_quietly(self._model.path)
        remove_quietly(self._state.path if self._state else None)
        self._model, self._state = stepped.model, stepped.state
        for offer in close.offers:
            self._services.metrics.staleness.labels(self.plan.study).observe(close.version - 1 - offer.base_version)
        self._forget(close, "counted", "none")
        self._log.info("version announced", version=close.version, n=len(close.entries), sum_w=close.sum_w)

    def _forget(self, close: Close, outcome: str, reason: str) -> None:
        self._bodies.forget(close)
        for offer in close.offers:
            self._count(offer, outcome, reason)

    async def _commit_announcement(self, announcement: Announcement) -> None:
        await self._publisher.commit([announcement], [])
        self._view.add(announcement)

    # -- telling

    def _observe(self) -> None:
        metrics, study = self._services.metrics, self.plan.study
        metrics.version.labels(study).set(self._core.version)
        metrics.round_age_s.labels(study).set(self._core.round_age_ms(now_ms()) / 1000)
        metrics.final.labels(study).set(self._core.final)
        metrics.suspects.labels(study).set(len(self._core.suspicion.suspects))
        metrics.paused.labels(study).set(self._core.orders.paused)
        metrics.excluded.labels(study).set(len(self._core.orders.excluded))
        phases = list(self._core.waiting().values())
        for phase in Phase:
            metrics.buffer.labels(study, phase.name.lower()).set(sum(one is phase for one in phases))

    def _count(self, offer: OfferFact, outcome: str, reason: str) -> None:
        self._services.metrics.offers.labels(self.plan.study, outcome, reason).inc()
        if outcome == "counted":
            self._log.info("offer decided", update=self._update(offer), outcome=outcome)

    def _update(self, offer: OfferFact) -> str:
        return f"{self.plan.study}/{offer.site}/{offer.sequence}"

    def _path(self, what: str, version: int) -> Path:
        return vector_path(self._folder, what, version)


def _stop(announcement: Announcement) -> Stop:
    return Stop(announcement.stop)
