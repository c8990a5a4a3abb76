"""`python -m bench`: one broker, then cell after cell of a coordinator and N participants, each a process of its own.

Knows:    a version's time is that of its Announcement on the log; CPU and memory are the kernel's own accounts.
Never:    asserts a time: it prints what was measured beside what is aimed at, and writes both as JSON.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cells import CELLS, FULL, Cell
from bench.measure import cpu_by_role, cpu_seconds, peak_mb, roles
from ops.kafka import PLAINTEXT_ON_PURPOSE, Broker
from registry.members import NewMember
from registry.registrar import Registrar
from runtime import logs
from runtime.service import report
from schemas import topics
from schemas.errors import FederationError, LocalError
from schemas.plan import Plan
from schemas.records import Announcement, Offer, Role, Signed, kind_of
from tests.broker.access import authority, broker_of_tests, reach
from transport.admin import Admin
from transport.reading.log import EARLIEST, LogReader, read_to_end
from transport.settings import PLAINTEXT, TLS, KafkaSettings
from transport.staying.link import Link
from wardround.demo.processes import Processes
from wardround.demo.stage import COORDINATOR, Stage, coordinator_settings, make_keys, participant_settings

CELL_S = 480.0
OUT = Path("out/bench")


@dataclass(frozen=True, slots=True)
class Result:
    """What one cell took. CPU seconds are those of the counted versions, divided by their number."""

    cell: str
    sites: int
    model_mb: float
    versions: int
    median_s: float
    fastest_s: float
    slowest_s: float
    target_s: float | None
    updates_per_s: float
    coordinator_peak_mb: float
    coordinator_limit_mb: float
    participant_peak_mb: float
    cpu_s: dict[str, float]
    bytes_per_update: float


def main() -> int:
    """Run the cells named on the command line (all of the default ones without any)."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help="names of cells, e.g. n10-kb10; default: all but the full ones")
    parser.add_argument("--full", action="store_true", help="the 400 MB cells too; also with FULL=1")
    parser.add_argument(
        "--plaintext-on-purpose", action="store_true", help="without TLS and access rules, to see what they cost"
    )
    arguments = parser.parse_args()
    known = {cell.name: cell for cell in (*CELLS, *FULL)}
    if unknown := [name for name in arguments.cells if name not in known]:
        parser.error(f"no cell {', '.join(unknown)}; cells are {', '.join(known)}")
    chosen = [known[name] for name in arguments.cells] or list(CELLS)
    if not arguments.cells and (arguments.full or os.environ.get("FULL") == "1"):
        chosen += FULL
    logs.configure("error")
    try:
        results = asyncio.run(run_cells(chosen, plaintext=arguments.plaintext_on_purpose))
    except FederationError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    _write(results)
    return 0


async def run_cells(cells: list[Cell], *, plaintext: bool = False) -> list[Result]:
    """One warm broker for all; its folder goes at the end."""
    console = Console(stderr=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="wardround-bench-", ignore_cleanup_errors=True) as folder:
        keys = PLAINTEXT_ON_PURPOSE if plaintext else broker_of_tests()
        broker = await asyncio.to_thread(Broker.start, Path(folder) / "broker", keys=keys)
        try:
            for cell in cells:
                with console.status(f"{cell.name}: {cell.sites} sites, {cell.warm + cell.versions} versions"):
                    results.append(await _run(cell, broker, PLAINTEXT if plaintext else TLS))
                console.print(f"{cell.name}: {results[-1].median_s:.3f} s a version")
        finally:
            await asyncio.to_thread(broker.stop)
    return results


async def _run(cell: Cell, broker: Broker, security: str) -> Result:
    OUT.mkdir(parents=True, exist_ok=True)
    with _processes(OUT / cell.name) as processes:
        stage = await asyncio.to_thread(make_keys, processes.folder, cell.names, authority())
        authored = await asyncio.to_thread(cell.plan, processes.folder)
        plan = authored.plan
        kafka = reach(broker.bootstrap, "bench", security=security)
        await _create(kafka, stage, plan, authored.initial.tobytes())
        del authored
        processes.start(
            COORDINATOR,
            "coordinator",
            "--config",
            str(coordinator_settings(stage, broker.bootstrap, security=security)),
        )
        for name in cell.names:
            path = participant_settings(stage, name, broker.bootstrap, [plan], None, period_s=None, security=security)
            processes.start(name, "participant", "run", "--config", str(path))
        try:
            return await _measure(cell, plan, kafka, processes, broker)
        finally:
            await asyncio.to_thread(processes.stop)
            await _trim(kafka, cell, plan)


@contextlib.contextmanager
def _processes(out: Path) -> Iterator[Processes]:
    out.mkdir(parents=True, exist_ok=True)
    processes = Processes(out)
    try:
        yield processes
    finally:
        processes.close()


async def _create(kafka: KafkaSettings, stage: Stage, plan: Plan, initial: bytes) -> None:
    async with Registrar(kafka, stage.registrar) as registrar:
        await registrar.publish_members(
            NewMember(card, (Role.COORDINATOR if name == COORDINATOR else Role.SITE,))
            for name, card in stage.cards.items()
        )
        await registrar.publish_roster()
        path = stage.folder / "version-0.f32"
        path.write_bytes(initial)
        await registrar.create_study(plan, path)


async def _measure(cell: Cell, plan: Plan, kafka: KafkaSettings, processes: Processes, broker: Broker) -> Result:
    times: dict[int, float] = {}
    before: dict[str, float] = {}
    async with contextlib.aclosing(_announcements(kafka, plan.study)) as announcements:
        async for version, at_s in announcements:
            times[version] = at_s
            if version == cell.warm:
                before = _cpu(processes, broker)
            if version >= cell.warm + cell.versions:
                break
    after = _cpu(processes, broker)
    steps = [times[version] - times[version - 1] for version in range(cell.warm + 1, cell.warm + cell.versions + 1)]
    members = roles(processes.folder)
    first = processes.all[cell.names[0]].pid
    return Result(
        cell=cell.name,
        sites=cell.sites,
        model_mb=plan.parameters * 4 / 1e6,
        versions=cell.versions,
        median_s=statistics.median(steps),
        fastest_s=min(steps),
        slowest_s=max(steps),
        target_s=cell.target_s,
        updates_per_s=cell.sites / statistics.median(steps),
        coordinator_peak_mb=max(peak_mb(pid) for pid in members["coordinator"]),
        coordinator_limit_mb=96 + 3 * plan.parameters * 4 / 1e6,
        participant_peak_mb=peak_mb(first),
        cpu_s={role: (after[role] - before.get(role, 0.0)) / cell.versions for role in sorted(after)},
        bytes_per_update=await _bytes_per_update(kafka, cell, plan),
    )


def _cpu(processes: Processes, broker: Broker) -> dict[str, float]:
    pid = broker.pid
    return {**cpu_by_role(roles(processes.folder)), "broker": cpu_seconds(pid) if pid else 0.0}


async def _announcements(kafka: KafkaSettings, study: str) -> AsyncGenerator[tuple[int, float], None]:
    """(version, log-append time in seconds) of each Announcement as it comes; LocalError when they stay away."""
    topic, reader = topics.rounds(study), LogReader(kafka, Link(kafka))
    try:
        await reader.assign({topic: EARLIEST})
        heard = time.monotonic()
        while time.monotonic() - heard < CELL_S:
            for entry in await reader.batch(wait_ms=1000):
                payload = Signed.from_bytes(entry.value or b"").payload
                if kind_of(payload) == Announcement.KIND:
                    heard = time.monotonic()
                    yield Announcement.from_bytes(payload).version, entry.timestamp_ms / 1000
        raise LocalError(f"no version for {CELL_S:g} s on {topic}")
    finally:
        await reader.close()


async def _bytes_per_update(kafka: KafkaSettings, cell: Cell, plan: Plan) -> float:
    """Offer and sealed body of the first site's first update, as they lie on the log."""
    for entry in await read_to_end(kafka, Link(kafka), [topics.offers(cell.names[0])], committed=False):
        payload = Signed.from_bytes(entry.value or b"").payload
        if kind_of(payload) == Offer.KIND:
            body = Offer.from_bytes(payload).body
            return len(entry.value or b"") + body.size_bytes + 16 * body.count
    raise LocalError(f"{cell.names[0]} offered nothing")


async def _trim(kafka: KafkaSettings, cell: Cell, plan: Plan) -> None:
    """Give the disk back before the next cell."""
    link = Link(kafka)
    admin = Admin(kafka, link)
    reader = LogReader(kafka, link, committed=False)
    names = [topics.models(plan.study), *(topics.bodies(name) for name in cell.names), topics.REGISTRAR_BODIES]
    try:
        await reader.assign(dict.fromkeys(names, EARLIEST))
        for name, end in (await reader.ends()).items():
            await admin.trim(name, end)
    finally:
        await asyncio.gather(reader.close(), admin.close())


def _write(results: list[Result]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    rows = [asdict(result) for result in results]
    (OUT / "bench.json").write_text(json.dumps({"machine": machine, "cells": rows}, indent=1))
    table = Table(title=f"seconds per version, {os.cpu_count()} cores, everything on one machine")
    for heading in ("cell", "median", "range", "aim", "updates/s", "coordinator MB (limit)", "participant MB", "CPU s"):
        table.add_column(heading, justify="right" if heading != "cell" else "left")
    for one in results:
        cpu = "  ".join(f"{role} {seconds:.2f}" for role, seconds in one.cpu_s.items())
        aim = f"{one.target_s:g}" if one.target_s else "-"
        peak = f"{one.coordinator_peak_mb:.0f} ({one.coordinator_limit_mb:.0f})"
        table.add_row(
            one.cell, f"{one.median_s:.3f}", f"{one.fastest_s:.3f}-{one.slowest_s:.3f}", aim,
            f"{one.updates_per_s:.1f}", peak, f"{one.participant_peak_mb:.0f}", cpu,
        )  # fmt: skip
    Console(file=sys.stdout, width=160).print(table)
