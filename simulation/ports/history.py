"""One history of production's own coordinator: it leads, dies at any word with the broker, and another one goes on.

Knows:    the shell that runs here is the one that hospitals run; log, clock and sites stand in, nothing else.
Source:   deterministic simulation of production code: FoundationDB, SIGMOD 2021, section 4.
"""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coordinator.shell.leading import LeadPartition
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Services
from coordinator.shell.strangers import Strangers
from protocol.rings import OpenRing, SignRing
from schemas.plan import Plan
from simulation.ports.books import Books
from simulation.ports.connection import Admin, Bodies, Calm, Connection, Life, Sender
from simulation.ports.federation import COORDINATOR, Federation, keys_of, small_plan
from simulation.ports.loop import Hangs, run
from simulation.ports.memory import MemoryLog
from simulation.ports.site import Site
from simulation.verdict import Broken

SITES = ("aachen", "bonn")
LIMIT_S = 200.0
SUCCEEDS_S = 3.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Lived:
    """What came of a history. `steps` are those of the coordinator that led first, `books` what is on the log."""

    steps: tuple[str, ...]
    died: bool
    books: Books


def live(plan: Plan | None = None, *, dies_at: int | None = None) -> Lived:
    """Live through a study, its first coordinator dying at this index of `Lived.steps`. Raises Broken."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(_live(plan or small_plan(sites=len(SITES), versions=3), Path(folder), dies_at))
        except Hangs as error:
            raise Broken("no-progress", str(error)) from error


async def _live(plan: Plan, folder: Path, dies_at: int | None) -> Lived:
    loop = asyncio.get_running_loop()
    log = MemoryLog(lambda: int(loop.time() * 1000))
    federation = Federation.begin(log, plan, SITES)
    first = Life(log, dies_at=dies_at)
    try:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            for name in SITES:
                tasks.create_task(Site(federation, name).run())
            await _lead(federation, first, folder / "first")
            if first.dead:
                await asyncio.sleep(SUCCEEDS_S)
                await _lead(federation, Life(log), folder / "second")
    except TimeoutError as error:
        Books.of(federation).check()  # what is wrong on the log says more than that nothing goes on
        raise Broken("no-progress", f"the study did not end within {LIMIT_S:g} s") from error
    books = Books.of(federation)
    books.check()
    return Lived(tuple(first.steps), first.dead, books)


async def _lead(federation: Federation, life: Life, folder: Path) -> None:
    """Until the study is over, or the process has died."""
    services = _services(federation, life, folder)

    async def confirmed() -> None: ...

    partition = LeadPartition(services, 0, confirmed)
    partition.add(federation.plan, federation.record)
    leading = asyncio.create_task(partition.run())
    life.die = leading.cancel
    watching = asyncio.create_task(_over(federation))
    await asyncio.wait({leading, watching}, return_when=asyncio.FIRST_COMPLETED)
    for task in (leading, watching):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leading


async def _over(federation: Federation) -> None:
    while True:
        if Books.of(federation).final:
            return
        await asyncio.sleep(LOOK_S)


def _services(federation: Federation, life: Life, folder: Path) -> Services:
    metrics, keys, sender = CoordinatorMetrics(), keys_of(COORDINATOR), Sender(life)
    return Services(
        name=COORDINATOR, folder=folder, connection=Connection(life), link=Calm(),
        signing=SignRing.of(keys.signing), opening=OpenRing.of(keys.opening), directory=federation.directory,
        writer=sender, bodies=sender, reader=Bodies(life), admin=Admin(life), metrics=metrics,
        strangers=Strangers(metrics),
    )  # fmt: skip
