"""A thousand sites come back at once: memory stays within the settings, and nothing else in the process has to wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.events import QUEUE_MAX, Close, Commanded, Committed, OfferFact, SitesChanged, Stepped, Tick
from coordinator.core.pending import Pending
from coordinator.core.site import Phase
from coordinator.core.study import StudyCore
from coordinator.shell import bodies
from coordinator.shell.bodies import Bodies
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.obeying import Obeying
from coordinator.shell.services import Spool
from coordinator.shell.standing import Parts, Standing
from coordinator.shell.study import Queue, Run
from coordinator.shell.telling import Telling
from protocol.commands import CommandLog
from protocol.fixed_point import Encoding, Words
from schemas.plan import Plan
from schemas.records import Action, Command
from tests.coordinator.log import model_digest
from tests.coordinator.plans import plan_of
from tests.schemas.plans import changed
from transport.connection import Connection
from transport.settings import KafkaSettings
from transport.staying.link import Link

SITES = 1000
BODIES_MAX = 4


class Memory:
    """What fetched bodies take up: as many bytes as were fetched and are not in the sum yet."""

    def __init__(self) -> None:
        self.now = self.most = self.fetched = 0

    def fetch(self, size: int) -> None:
        self.now, self.fetched = self.now + size, self.fetched + 1
        self.most = max(self.most, self.now)


@pytest.fixture
def plan() -> Plan:
    return plan_of(goal=10)


class Nowhere:
    """Versions and receipts go nowhere, and that takes its time."""

    def __init__(self, services: Any, plan: Plan, bodies: Bodies) -> None:
        self.pending = Pending(0)
        self.telling = Telling(services.metrics, plan)
        self.epochs = SimpleNamespace(ensure=self._ensure)
        self.closes: list[Close] = []
        self._bodies = bodies

    async def make(self, _close: Close) -> object:
        await asyncio.sleep(0.01)
        return "made"

    async def announce(self, close: Close, _made: object) -> Committed:
        self.closes.append(close)
        self._bodies.forget(close.cohort)
        self.telling.announced(close)
        return Committed(close.version, model_digest(close.version))

    async def flush(self) -> None:
        await asyncio.sleep(0.001)
        self.pending.with_cohort(())

    async def under_current_key(self) -> None:
        pass

    async def _ensure(self, _membership: object) -> None:
        pass


@dataclass
class Study:
    """A study without a broker: bodies come from nowhere."""

    services: Any
    core: StudyCore
    queue: Queue
    newer_roster: asyncio.Event
    bodies: Bodies
    rounds: Nowhere
    memory: Memory

    @property
    def run(self) -> Run:
        parts = Parts(self.services, self.core.plan, cast(Any, None), cast(Any, OFFERS), self.bodies, cast(Any, None))
        obeying = Obeying(self.services, CommandLog(self.core.plan.study), 0)
        return Run(parts, self.queue, self.newer_roster, Standing(self.core, cast(Any, self.rounds), obeying, ()))


async def _looked() -> None:
    pass


OFFERS = SimpleNamespace(sites_changed=_looked, hold=lambda _site: None, release=lambda _site: None)


@pytest_asyncio.fixture
async def study(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    memory = Memory()
    kafka = KafkaSettings("127.0.0.1:1", "tests")
    membership = SimpleNamespace(sites=lambda _study: ("site-7",))
    services: Any = SimpleNamespace(
        folder=tmp_path, connection=Connection(kafka, Link(kafka)), metrics=CoordinatorMetrics(), membership=membership,
        spool=Spool(BODIES_MAX * plan.body_bytes),
    )  # fmt: skip
    queue: Queue = asyncio.Queue(QUEUE_MAX)
    held = Bodies(services, plan, Encoding.from_plan(plan), queue.put)

    async def fetch_body(_services: object, _offer: object, _encoding: object, into: Words) -> None:
        memory.fetch(plan.body_bytes)
        await asyncio.sleep(0.001)
        into.fill(0)

    async def add(offer: OfferFact, weight: int) -> None:
        memory.now -= plan.body_bytes
        await Bodies.add(held, offer, weight)

    monkeypatch.setattr(bodies, "fetch_body", fetch_body)
    monkeypatch.setattr(held, "add", add)
    core = StudyCore(plan, version=0, models={0: model_digest(0)}, now_ms=0)
    return Study(services, core, queue, asyncio.Event(), held, Nowhere(services, plan, held), memory)


def offered(plan: Plan, site: str) -> VerifiedOffer:
    fact = OfferFact(
        site=site, offset=0, sequence=1, header=bytes(32), base_version=0, base_digest=model_digest(0),
        plan=plan.digest, d=plan.d, size_bytes=plan.body_bytes, cohort_min=plan.aggregation.cohort_min, trustees=0,
    )  # fmt: skip
    offer = SimpleNamespace(body=SimpleNamespace(size_bytes=plan.body_bytes))
    return VerifiedOffer(fact, cast(Any, offer), b"")


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never comes to rest")


async def test_a_thousand_offers_at_once_stay_within_the_bounds_and_let_others_work(
    plan: Plan, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"site-{number:04d}" for number in range(SITES)]
    study.core.on(SitesChanged(frozenset(names)), 0)
    handled, turns, longest, deepest = study.core.on, 0, 0, 0

    def on(event: Any, now_ms: int) -> Any:
        nonlocal turns, deepest
        turns += not isinstance(event, Stepped)  # word of the same event's own end
        deepest = max(deepest, study.queue.qsize())
        return handled(event, now_ms)

    async def somebody_else() -> None:
        """Such as the heartbeat: counts how many events were handled between two of its turns."""
        nonlocal turns, longest
        while True:
            await asyncio.sleep(0)
            longest, turns = max(longest, turns), 0

    monkeypatch.setattr(study.core, "on", on)
    async with asyncio.TaskGroup() as tasks:
        work = [tasks.create_task(study.run.act(tasks)), tasks.create_task(somebody_else())]
        for name in names:
            await study.queue.put(offered(plan, name))
        await until(lambda: len(study.rounds.closes) >= 4 and not study.bodies._held)
        for task in work:
            task.cancel()
    assert study.memory.most <= BODIES_MAX * plan.body_bytes
    assert study.memory.fetched <= SITES
    assert deepest <= QUEUE_MAX
    assert longest <= 2, "events of one study are handled one at a time between others' turns"
    assert {entry.site for close in study.rounds.closes for entry in close.entries} <= set(names)


async def test_a_newer_roster_waits_for_no_full_queue_and_is_looked_at_before_what_lies_in_it(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def on(event: Any, _now_ms: int) -> list[Any]:
        heard.append(event)
        return []

    monkeypatch.setattr(study.core, "on", on)
    while not study.queue.full():
        study.queue.put_nowait(Tick())
    study.newer_roster.set()  # whoever follows the directory does not wait in here, though nobody takes anything
    async with asyncio.TaskGroup() as tasks:
        acting = tasks.create_task(study.run.act(tasks))
        await until(lambda: any(isinstance(event, Tick) for event in heard))
        acting.cancel()
    told = [event for event in heard if isinstance(event, SitesChanged | Tick)]
    assert told[0] == SitesChanged(frozenset({"site-7"}))
    assert isinstance(told[1], Tick)
    assert heard.count(told[0]) == 1


async def test_repro_a_pause_that_ends_while_word_of_a_body_waits_in_the_queue_ends_no_process(
    plan: Plan, study: Study
) -> None:
    run = study.run
    study.core.on(SitesChanged(frozenset({"site-7"})), 0)
    offer = offered(plan, "site-7")
    pause, resume = (
        Command(plan.study, serial, action, None, None, "as agreed")
        for serial, action in ((1, Action.PAUSE), (2, Action.RESUME))
    )
    async with asyncio.TaskGroup() as tasks:
        study.bodies.know(offer)
        await run.hear(offer.fact, tasks)
        await until(lambda: not study.queue.empty())
        for event in (Commanded((pause,)), Commanded((pause, resume)), study.queue.get_nowait()):
            await run.hear(cast(Any, event), tasks)
        await until(lambda: not study.queue.empty())
        await run.hear(cast(Any, study.queue.get_nowait()), tasks)
    assert study.core.waiting() == {"site-7": Phase.ADDED}
    assert study.memory.fetched == 2
    assert study.services.spool._used == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=30))
def test_bytes_in_memory_are_bounded_whoever_gives_up_waiting(bodies: list[tuple[int, bool]]) -> None:
    asyncio.run(_bounded(bodies))


async def _bounded(bodies: list[tuple[int, bool]]) -> None:
    spool, held, most = Spool(50 * 4), [0], [0]

    async def hold(size: int) -> None:
        words = await spool.take(Encoding.from_plan(changed(parameters=size)))
        held[0] += size
        assert held[0] <= 50 or held[0] == size
        most[0] = max(most[0], held[0])
        try:
            await asyncio.sleep(0)
        finally:
            held[0] -= size
            spool.give_back(words, reusable=True)

    tasks = [asyncio.create_task(hold(size)) for size, _ in bodies]
    await asyncio.sleep(0)
    for task, (_, gives_up) in zip(tasks, bodies, strict=True):
        if gives_up:
            task.cancel()
    await asyncio.wait(tasks, timeout=20)
    assert all(task.done() for task in tasks)
    assert held == [0]
    async with asyncio.timeout(1):
        await spool.take(Encoding.from_plan(changed(parameters=50)))
