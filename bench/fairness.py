"""`python -m bench.fairness`: is a hospital heard as often as it is there? Shares of the model against presence.

A broker, a coordinator and four participants, each a process of its own; 20 versions, with the local baseline and its
1,000 resamples. The metric takes 10 ms, so a baseline takes more than ten seconds. The mixes: one large hospital among
small ones, where a version waits for all who are there, and where it closes with three of four; sizes from two patients
to 112; one that joins late and one that leaves for a while. Shown for each site, as the median of the runs: versions
that were made while it was there, versions it was counted in, its share of the model, and what its presence alone
would give it.

Knows:    all of it from the log, by the very figures that `wardround status` and the report warn with.
Never:    asserts a number: it prints what was measured, and writes it as JSON.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from audit.federation import AsyncFederation
from audit.history import StudyHistory
from audit.standing import standings
from bench.run import OUT, _create, _processes
from ops.kafka import Broker
from registry.plans.authoring import AuthoredPlan, author_plan
from runtime import logs
from runtime.service import report
from schemas.errors import FederationError, LocalError
from tests.broker.access import authority, reach, start_broker
from wardround.demo.processes import Process, Processes
from wardround.demo.stage import COORDINATOR, Stage, coordinator_settings, make_keys, participant_settings

VERSIONS = 20
LIMIT_S = 300.0
END_S = 60.0
METRIC_MS = 10


@dataclass(frozen=True, slots=True)
class Mix:
    """Hospitals by their number of patients.

    waits    a version waits four seconds for all who are there, instead of closing with three of four
    joins    site -> the version at which its participant is first started
    away     site -> (version at which its participant is ended, version at which it is started again)
    """

    name: str
    patients: Mapping[str, int]
    waits: bool = False
    joins: Mapping[str, int] = field(default_factory=dict)
    away: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def plan(self, folder: Path, *, alone: bool) -> AuthoredPlan:
        options = "".join(f'{site} = "{count}"\n' for site, count in self.patients.items())
        path = folder / f"{self.name}.toml"
        gathers = "goal = 4\nminimum = 2\ncohort_min = 2\ndeadline_s = 4\n" if self.waits else ""
        path.write_text(
            f'[study]\nid = "fair-{self.name}"\ntitle = "Who is heard"\n'
            f'[task]\nentry = "bench.ward.task:task"\n[task.options]\nmetric_ms = "{METRIC_MS}"\n{options}'
            '[training]\noptimiser = "sgd"\nlearning_rate = 0.1\nepochs = 1\nbatch = 32\n'
            f'[aggregation]\npreset = "fedbuff"\n{gathers}[encoding]\nclip = 1.0\n'
            f"[evaluation]\nalone = {str(alone).lower()}\n[stop]\nversions = {VERSIONS}\n"
            f"[members]\nsites = {json.dumps(sorted(self.patients))}\n"
        )
        return author_plan(path)


LARGE = {"site-1": 600, "site-2": 40, "site-3": 40, "site-4": 40}
MIXES = (
    Mix("large", LARGE),
    Mix("large-waited-for", LARGE, waits=True),
    Mix("from-two-to-112", {"site-1": 112, "site-2": 40, "site-3": 12, "site-4": 2}),
    Mix(
        "late-and-away",
        LARGE,
        joins={"site-3": 6},
        away={"site-4": (4, 12)},
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One site in one run."""

    site: str
    patients: int
    there: float
    counted: int
    share: float
    by_presence: float
    warned: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__.splitlines()[0])
    parser.add_argument("mixes", nargs="*", help=f"{', '.join(mix.name for mix in MIXES)}; default: all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-alone", action="store_true", help="no local baseline, for comparison")
    options = parser.parse_args()
    known = {mix.name: mix for mix in MIXES}
    if unknown := [name for name in options.mixes if name not in known]:
        parser.error(f"no mix {', '.join(unknown)}; mixes are {', '.join(known)}")
    chosen = [known[name] for name in options.mixes] or list(MIXES)
    logs.configure("error")
    try:
        found = asyncio.run(measure(chosen, options.runs, alone=not options.without_alone))
    except FederationError as error:
        return report(error)
    OUT.mkdir(parents=True, exist_ok=True)
    written = {name: [[asdict(row) for row in rows] for rows in runs] for name, runs in found.items()}
    (OUT / "fairness.json").write_text(json.dumps(written, indent=1))
    for name, runs in found.items():
        Console(file=sys.stdout, width=140).print(_table(name, runs))
    return 0


async def measure(mixes: Sequence[Mix], runs: int, *, alone: bool) -> dict[str, list[list[Row]]]:
    """Each mix `runs` times, each time with a broker of its own."""
    found: dict[str, list[list[Row]]] = {}
    console = Console(stderr=True)
    for mix in mixes:
        found[mix.name] = []
        for number in range(runs):
            with tempfile.TemporaryDirectory(prefix="wardround-bench-", ignore_cleanup_errors=True) as folder:
                broker = await asyncio.to_thread(start_broker, Path(folder) / "broker")
                try:
                    found[mix.name].append(await _run(mix, broker, alone=alone))
                finally:
                    await asyncio.to_thread(broker.stop)
            said = ", ".join(f"{row.site} {row.counted}" for row in found[mix.name][-1])
            console.print(f"{mix.name}, run {number + 1}: of {VERSIONS} versions counted in {said}")
    return found


async def _run(mix: Mix, broker: Broker, *, alone: bool) -> list[Row]:
    with _processes(OUT / f"fairness-{mix.name}") as processes:
        stage = await asyncio.to_thread(make_keys, processes.folder, list(mix.patients), authority())
        authored = await asyncio.to_thread(mix.plan, processes.folder, alone=alone)
        kafka = reach(broker.bootstrap, "bench")
        await _create(kafka, stage, authored.plan, authored.initial.tobytes())
        lines = {
            site: _own_trainer(participant_settings(stage, site, broker.bootstrap, [authored.plan], None))
            for site in mix.patients
        }
        processes.start(COORDINATOR, "coordinator", "--config", str(coordinator_settings(stage, broker.bootstrap)))
        try:
            return _rows(mix, await _follow(mix, authored, processes, stage, lines, broker))
        finally:
            await asyncio.to_thread(processes.stop)


def _own_trainer(settings: Path) -> Path:
    """As at a hospital: a trainer that is lost has to import torch again."""
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if not line.startswith("fork_server")))
    return settings


async def _follow(
    mix: Mix, authored: AuthoredPlan, processes: Processes, stage: Stage, lines: Mapping[str, Path], broker: Broker
) -> StudyHistory:
    """Start and end participants as the mix says, until the study is over; its history."""
    running: dict[str, Process] = {}
    async with AsyncFederation(broker.bootstrap, registrar_key=stage.keys / "registrar.pub") as federation:
        try:
            async with asyncio.timeout(LIMIT_S):
                async for history in federation.follow(authored.plan.study, pace_s=0.1):
                    for site in mix.patients:
                        _keep(mix, site, history.version, processes, running, lines[site])
                    if history.final:
                        return history
        except TimeoutError:
            raise LocalError(f"{mix.name}: not at its end after {LIMIT_S:.0f} s", hint="see out/bench") from None
    raise AssertionError("following ends with the study")


def _keep(mix: Mix, site: str, version: int, processes: Processes, running: dict[str, Process], settings: Path) -> None:
    """Have the site's participant run, or not, at this version."""
    away = mix.away.get(site, (VERSIONS + 1, VERSIONS + 1))
    wanted = version >= mix.joins.get(site, 0) and not away[0] <= version < away[1]
    if wanted and site not in running:
        running[site] = processes.start(site, "participant", "run", "--config", str(settings))
    elif not wanted and site in running:
        child = running.pop(site).child
        assert child is not None
        child.terminate()


def _rows(mix: Mix, history: StudyHistory) -> list[Row]:
    assert history.ended_ms is not None
    found = standings(history, history.ended_ms, period_s=2.0)
    return [
        Row(
            site=one.site,
            patients=mix.patients[one.site],
            there=one.presence * VERSIONS,
            counted=one.counted,
            share=one.share,
            by_presence=one.by_presence,
            warned=one.warning or "",
        )
        for one in found
    ]


def _table(name: str, runs: Sequence[Sequence[Row]]) -> Table:
    title = f"{name}: {len(runs)} runs of {VERSIONS} versions, {os.cpu_count()} cores, everything on one machine"
    table = Table(title=title)
    headings = ("site", "patients", "there for", "counted in", "lowest to highest", "share", "by presence", "warned")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "site" else "right")
    for rows in zip(*runs, strict=True):
        counted = [row.counted for row in rows]
        table.add_row(
            rows[0].site,
            str(rows[0].patients),
            f"{statistics.median(row.there for row in rows):.0f}",
            f"{statistics.median(counted):g}",
            f"{min(counted)} to {max(counted)}",
            f"{statistics.median(row.share for row in rows):.1%}",
            f"{statistics.median(row.by_presence for row in rows):.1%}",
            f"{sum(bool(row.warned) for row in rows)} of {len(rows)}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
