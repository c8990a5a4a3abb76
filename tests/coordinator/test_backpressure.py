"""A thousand sites come back at once: memory stays within the settings, and nothing else in the process has to wait."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.events import Close, Commanded, Committed, OfferFact, SitesChanged, Tick
from coordinator.core.site import Phase
from coordinator.core.study import StudyCore
from coordinator.shell import bodies
from coordinator.shell.bodies import Bodies
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Spool
from coordinator.shell.study import QUEUE_MAX, StudyRunner
from protocol.commands import CommandLog
from protocol.fixed_point import Encoding, Words
from schemas.plan import Plan
from schemas.records import Action, Command, PlanRecord
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


@pytest_asyncio.fixture
async def runner(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[StudyRunner, Memory, list[Close]]:
    """A study's runner without a broker: bodies come from nowhere, versions go nowhere, and both take their time."""
    memory, closes = Memory(), list[Close]()
    kafka = KafkaSettings("127.0.0.1:1", "tests")
    spool = Spool(BODIES_MAX * plan.body_bytes)
    services = SimpleNamespace(
        folder=tmp_path, connection=Connection(kafka, Link(kafka)), metrics=CoordinatorMetrics(), spool=spool
    )
    one = StudyRunner(cast(Any, services), plan, cast(PlanRecord, None))
    one._core = StudyCore(plan, version=0, models={0: model_digest(0)}, now_ms=0)

    async def fetch_body(_services: object, _offer: object, _encoding: object, into: Words) -> None:
        memory.fetch(plan.body_bytes)
        await asyncio.sleep(0.001)
        into.fill(0)

    async def add(offer: OfferFact, weight: int) -> None:
        memory.now -= plan.body_bytes
        await Bodies.add(one._bodies, offer, weight)

    async def close(effect: Close) -> Committed:
        closes.append(effect)
        await asyncio.sleep(0.01)
        one._forget(effect, "counted", "none")
        return Committed(effect.version, model_digest(effect.version))

    async def commit(*_: object) -> None:
        await asyncio.sleep(0.001)

    monkeypatch.setattr(bodies, "fetch_body", fetch_body)
    monkeypatch.setattr(one._bodies, "add", add)
    monkeypatch.setattr(one, "_close", close)
    monkeypatch.setattr(one._publisher, "commit", commit)
    return one, memory, closes


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
    plan: Plan, runner: tuple[StudyRunner, Memory, list[Close]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, memory, closes = runner
    names = [f"site-{number:04d}" for number in range(SITES)]
    one._core.on(SitesChanged(frozenset(names)), 0)
    handled, turns, longest, deepest = one._core.on, 0, 0, 0

    def on(event: Any, now_ms: int) -> Any:
        nonlocal turns, deepest
        turns += 1
        deepest = max(deepest, one._queue.qsize())
        return handled(event, now_ms)

    async def somebody_else() -> None:
        """Such as the heartbeat: counts how many events were handled between two of its turns."""
        nonlocal turns, longest
        while True:
            await asyncio.sleep(0)
            longest, turns = max(longest, turns), 0

    monkeypatch.setattr(one._core, "on", on)
    async with asyncio.TaskGroup() as tasks:
        one._tasks = tasks
        work = [tasks.create_task(one._act()), tasks.create_task(somebody_else())]
        for name in names:
            await one._hear(offered(plan, name))
        await until(lambda: len(closes) >= 4 and not one._bodies._held)
        for task in work:
            task.cancel()
    assert memory.most <= BODIES_MAX * plan.body_bytes
    assert memory.fetched <= SITES
    assert deepest <= QUEUE_MAX
    assert longest <= 2, "events of one study are handled one at a time between others' turns"
    assert {entry.site for close in closes for entry in close.entries} <= set(names)


async def test_a_newer_roster_waits_for_no_full_queue_and_is_looked_at_before_what_lies_in_it(
    plan: Plan, runner: tuple[StudyRunner, Memory, list[Close]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = runner
    heard: list[Any] = []

    async def ensure(_membership: object) -> None:
        pass

    monkeypatch.setattr(one._epochs, "ensure", ensure)

    def on(event: Any, _now_ms: int) -> list[Any]:
        heard.append(event)
        return []

    monkeypatch.setattr(one._core, "on", on)
    one._commands = CommandLog(plan.study)
    one._view = cast(Any, SimpleNamespace(newest=SimpleNamespace(version=0, key_epoch=-1)))
    one._services.membership = cast(Any, SimpleNamespace(sites=lambda _study: ("site-7",)))  # type: ignore[misc]  # a stand-in here, a property there
    while not one._queue.full():
        one._queue.put_nowait(Tick())
    one.membership_changed()  # whoever follows the directory does not wait in here, though nobody takes anything
    acting = asyncio.create_task(one._act())
    await until(lambda: any(isinstance(event, Tick) for event in heard))
    acting.cancel()
    told = [event for event in heard if isinstance(event, SitesChanged | Tick)]
    assert told[0] == SitesChanged(frozenset({"site-7"}))
    assert isinstance(told[1], Tick)
    assert heard.count(told[0]) == 1


async def test_repro_a_pause_that_ends_while_word_of_a_body_waits_in_the_queue_ends_no_process(
    plan: Plan, runner: tuple[StudyRunner, Memory, list[Close]]
) -> None:
    one, memory, _ = runner
    one._core.on(SitesChanged(frozenset({"site-7"})), 0)
    offer = offered(plan, "site-7")
    pause, resume = (
        Command(plan.study, serial, action, None, None, "as agreed")
        for serial, action in ((1, Action.PAUSE), (2, Action.RESUME))
    )
    async with asyncio.TaskGroup() as tasks:
        one._tasks = tasks
        one._bodies.know(offer)
        await one._do(one._core.on(offer.fact, 1))
        await until(lambda: not one._queue.empty())
        for event in (Commanded((pause,)), Commanded((pause, resume)), one._queue.get_nowait()):
            await one._do(one._core.on(cast(Any, event), 2))
        await until(lambda: not one._queue.empty())
        await one._do(one._core.on(cast(Any, one._queue.get_nowait()), 3))
    assert one._core.waiting() == {"site-7": Phase.ADDED}
    assert memory.fetched == 2
    assert one._services.spool._used == 0


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
