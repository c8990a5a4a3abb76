"""Runs one study: feeds its core verified facts in one queue, and does what the core asks, one effect after another.

Never:    decides; patches the core's state. An error in here ends the process, and the log rebuilds it.
"""

import asyncio

from coordinator.core.events import (
    QUEUE_MAX,
    Add,
    Ask,
    Close,
    Decide,
    Drop,
    Effect,
    End,
    Event,
    Fail,
    Fetch,
    Hold,
    Ignored,
    Release,
    Remove,
    SitesChanged,
    Stepped,
    Tick,
    Unload,
    Wrong,
)
from coordinator.shell.bodies import Bodies
from coordinator.shell.bookmarks import Bookmarks, Heard
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.offers import CommandSeen, OffersReader, Seen
from coordinator.shell.services import Services, now_ms
from coordinator.shell.standing import Parts, Standing, TakingOver
from coordinator.shell.trim import Trimmer
from protocol.fixed_point import Encoding
from runtime.service import first_error
from schemas import topics
from schemas.plan import Plan
from schemas.records import PlanRecord

TICK_S = 0.1

Queue = asyncio.Queue[Event | Seen]


class StudyRunner:
    """One study of one coordinator, from taking over to the end of its lead."""

    def __init__(self, services: Services, plan: Plan, record: PlanRecord) -> None:
        self._services, self._plan, self._record = services, plan, record
        self._newer_roster = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled. Raises PeerError when the study's log cannot be trusted; nothing is written then.

        Raises Fenced and CommitUnknown when another process leads this study, or may: nothing here is true any more.
        """
        queue: Queue = asyncio.Queue(QUEUE_MAX)
        parts = parts_of(self._services, self._plan, queue)
        try:
            await Run(parts, queue, self._newer_roster, await TakingOver(parts, self._record).run()).run()
        finally:
            study = self._plan.study
            self._services.transactions.forget((topics.rounds(study), topics.receipts(study), topics.keys(study)))
            parts.bodies.close()
            await parts.offers.close()

    def membership_changed(self) -> None:
        """Tell the study that the directory holds a newer roster; it looks at it before the next event.

        Not by the queue: it is full while a study writes over a slow link, and nobody else may wait for that.
        """
        self._newer_roster.set()


def parts_of(services: Services, plan: Plan, queue: Queue) -> Parts:
    """What a study is made of, told by `queue` what it hears."""

    async def hear(seen: Seen) -> None:
        await queue.put(seen)

    bookmarks = Bookmarks(services, plan)
    bodies = Bodies(services, plan, Encoding.from_plan(plan), queue.put)
    offers = OffersReader(services, plan, bookmarks, hear)
    return Parts(services, plan, bookmarks, offers, bodies, Trimmer(services, plan))


class Run:
    """A study that stands."""

    def __init__(self, parts: Parts, queue: Queue, newer_roster: asyncio.Event, standing: Standing) -> None:
        self._parts, self._queue, self._newer_roster = parts, queue, newer_roster
        self._core, self._rounds, self._obeying = standing.core, standing.rounds, standing.obeying
        self._remembered = standing.remembered
        self._telling = standing.rounds.telling

    async def run(self) -> None:
        """Run until cancelled."""
        study = self._parts.plan.study
        self._telling.runs(self._core)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._begin(tasks)
                offers = self._parts.offers.run(self._core.next_offset, self._obeying.following)
                tasks.create_task(offers, name=f"offers {study}")
                tasks.create_task(self._tick(), name=f"tick {study}")
                tasks.create_task(self._parts.trimmer.run(), name=f"trim {study}")
                tasks.create_task(self.act(tasks), name=f"act {study}")
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def act(self, tasks: asyncio.TaskGroup) -> None:
        """Take what the queue holds, one after another; fetches run as `tasks`."""
        while True:
            event = await self._queue.get()
            await asyncio.sleep(0)  # a full queue never waits: without this a thousand offers would hold up the loop
            if self._newer_roster.is_set():
                self._newer_roster.clear()
                await self._members_changed(tasks)
            await self._take(event, tasks)

    async def _take(self, event: Event | Seen, tasks: asyncio.TaskGroup) -> None:
        if isinstance(event, CommandSeen):
            if self._obeying.take(event.entry):
                await self._obey(tasks)
        elif isinstance(event, Heard):
            await self._parts.bookmarks.write(event, self._core, self._rounds.pending)
        elif isinstance(event, VerifiedOffer):
            self._parts.bodies.know(event)
            await self.hear(event.fact, tasks)
        else:
            await self.hear(event, tasks)
            if isinstance(event, Tick):
                self._telling.observe(self._core)
                await self._rounds.flush()

    async def hear(self, event: Event, tasks: asyncio.TaskGroup) -> None:
        """Tell the core, and do what it asks for."""
        for effect in self._core.on(event, now_ms()):
            await self._do(effect, tasks)

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        await self._obey(tasks)  # before anything else: a study that is paused stays so in other hands
        told: tuple[Event, ...] = (self._sites(), *self._remembered)
        for event in told:
            await self.hear(event, tasks)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._queue.put(Tick())

    def _sites(self) -> SitesChanged:
        return SitesChanged(frozenset(self._parts.services.membership.sites(self._parts.plan.study)))

    async def _members_changed(self, tasks: asyncio.TaskGroup) -> None:
        await self._rounds.epochs.ensure(self._parts.services.membership)
        await self._rounds.under_current_key()
        await self._parts.offers.sites_changed()
        await self._obey(tasks)
        await self.hear(self._sites(), tasks)

    async def _obey(self, tasks: asyncio.TaskGroup) -> None:
        """Tell the core what the operators want, by the newest roster."""
        before = self._core.orders
        await self.hear(self._obeying.holding(), tasks)
        if self._core.orders != before:
            self._telling.obeyed(self._core.orders)

    async def _do(self, effect: Effect, tasks: asyncio.TaskGroup) -> None:
        """One effect; what the end of a round leads to follows at once."""
        bodies, offers = self._parts.bodies, self._parts.offers
        match effect:
            case Fetch():
                bodies.fetch(effect, tasks)
            case Add(offer, weight):
                await bodies.add(offer, weight)
            case Remove(offer, weight):
                await bodies.remove(offer, weight)
            case Unload(offer):
                bodies.unload(offer)
            case Drop(offer):
                bodies.drop(offer)
            case Decide(receipt):
                self._rounds.pending.add(receipt)
                self._telling.decided(receipt)
            case Ignored(offer):
                bodies.ignore(offer)
                self._telling.ignored()
            case Hold(site):
                offers.hold(site)
            case Release(site):
                offers.release(site)
            case Ask() | Close() | Fail() | End():
                await self._end(effect, tasks)

    async def _end(self, effect: Ask | Close | Fail | End, tasks: asyncio.TaskGroup) -> None:
        match effect:
            case Ask(cohort):
                await self.hear(await self._rounds.ask(cohort), tasks)
            case Close():
                await self._close(effect, tasks)
            case Fail():
                await self.hear(await self._rounds.fail(effect), tasks)
                await self._rounds.under_current_key()
            case End(stop):
                await self._rounds.announce_again(stop)
                self._telling.ends(stop.name.lower())

    async def _close(self, close: Close, tasks: asyncio.TaskGroup) -> None:
        made = await self._rounds.make(close)
        if isinstance(made, Wrong):
            await self.hear(made, tasks)
            return
        await self.hear(Stepped(), tasks)
        await self.hear(await self._rounds.announce(close, made), tasks)
