"""`python -m tests.faults.soak`: whether the memory of the real processes stays flat while links come and go.

Knows:    nobody is killed, so a process's memory is its own from start to end; what was there before a warm-up is
          not judged.
Never:    judges the broker: its heap grows to the bound it was given and stays there.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import resident_mb
from runtime import logs
from runtime.service import report
from schemas.errors import FederationError
from tests.faults.acts import Acts
from tests.faults.evidence import read_evidence
from tests.faults.federation import Federation, federation
from tests.faults.health import wait_until_well
from tests.faults.schedule import Role, schedule
from tests.faults.stage import Round

OUT = Path("out/soak")
BEGIN_S = 120.0
PERIOD_S = 5.0
WARM_UP = 0.1  # of the run, not judged
GROWTH_MB, GROWTH_SHARE = 5.0, 0.05  # between first and last third; more is not flat
BROKER, COORDINATOR, LARGEST = "broker", "coordinator", "largest {}"
Samples = Mapping[str, Sequence[tuple[float, float]]]  # process -> (seconds, MB)


@dataclass(frozen=True, slots=True)
class Memory:
    """One process over a run: medians of the first and the last third after the warm-up, and the slope over both."""

    name: str
    first_mb: float
    last_mb: float
    slope_mb_h: float
    most_mb: float

    @property
    def is_flat(self) -> bool:
        return self.last_mb - self.first_mb <= max(GROWTH_MB, GROWTH_SHARE * self.first_mb)


def memory_of(name: str, samples: Sequence[tuple[float, float]]) -> Memory:
    """From samples (seconds, MB), at least three after the warm-up."""
    end_s = samples[-1][0]
    judged = [(at_s, mb) for at_s, mb in samples if at_s >= WARM_UP * end_s]
    sizes = [mb for _, mb in judged]
    third = len(judged) // 3
    slope_mb_s = statistics.linear_regression([at_s for at_s, _ in judged], sizes).slope
    return Memory(
        name, statistics.median(sizes[:third]), statistics.median(sizes[-third:]), slope_mb_s * 3600, max(sizes)
    )


async def soak(round_: Round, out: Path) -> tuple[list[Memory], Samples, int]:
    """Run, sample, stop. Returns what each process used, the samples, and the versions that were announced."""
    async with federation(round_, out) as one:
        wrong = await wait_until_well(one, time.time_ns() // 1_000_000, BEGIN_S)
        if wrong:
            raise FederationError("; ".join(wrong))
        sampling: dict[str, list[tuple[float, float]]] = defaultdict(list)
        sampler = asyncio.create_task(_sample(one, sampling))
        links = [fault for fault in schedule(round_.seed, round_.duration_s) if fault.role is Role.LINK]
        began_s = time.monotonic()
        await Acts(one).play(links)
        await asyncio.sleep(max(0.0, began_s + round_.duration_s - time.monotonic()))
        sampler.cancel()
        await asyncio.gather(sampler, return_exceptions=True)
        found = await read_evidence(one.kafka, one.plan.study, round_.names, staleness_max=0)
        if one.gone():
            raise FederationError(f"ended by itself: {', '.join(one.gone())}")
    return [memory_of(name, samples) for name, samples in sampling.items()], sampling, found.version


async def _sample(one: Federation, sampling: dict[str, list[tuple[float, float]]]) -> None:
    began_s = time.monotonic()
    while True:
        at_s = time.monotonic() - began_s
        pids = {service.name: service.process.pid for service in one.services} | {BROKER: one.broker.pid or 0}
        sizes = {name: resident_mb(pid) for name, pid in pids.items()}
        leading = [name for name in sizes if name.startswith(COORDINATOR)]  # who leads changes: the largest is judged
        sizes[LARGEST.format(COORDINATOR)] = max(sizes.pop(name) for name in leading)
        for name, size_mb in sizes.items():
            sampling[name].append((at_s, size_mb))
        trainers = await asyncio.to_thread(one.trainers)
        if trainers:
            sampling[LARGEST.format("trainer")].append((at_s, max(resident_mb(pid) for pid in trainers)))
        await asyncio.sleep(PERIOD_S)


def main() -> int:
    """Run and print; exit code 1 when a process of ours has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="draws the troubles of the links")
    arguments = parser.parse_args()
    logs.configure("error")
    round_ = Round(arguments.seed, arguments.minutes * 60, train_s=0.3, versions_kept=10, bodies_bytes=256 * 2**20)
    try:
        memories, samples, versions = asyncio.run(soak(round_, OUT))
    except FederationError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    values = {"minutes": arguments.minutes, "versions": versions, "processes": [asdict(one) for one in memories]}
    (OUT / "soak.json").write_text(json.dumps({**values, "samples": dict(samples)}, indent=1))
    _plot(samples, OUT / "soak.png")
    Console(file=sys.stdout, width=110).print(_table(memories, versions, arguments.minutes))
    return 0 if all(one.is_flat for one in memories if one.name != BROKER) else 1


def _table(memories: Sequence[Memory], versions: int, minutes: float) -> Table:
    table = Table(title=f"resident memory over {minutes:g} minutes, {versions} versions", title_justify="left")
    for heading in ("process", "first third MB", "last third MB", "slope MB/h", "most MB", "flat"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for one in memories:
        flat = "-" if one.name == BROKER else "yes" if one.is_flat else "NO"
        table.add_row(
            one.name, f"{one.first_mb:.1f}", f"{one.last_mb:.1f}", f"{one.slope_mb_h:+.1f}", f"{one.most_mb:.1f}", flat
        )
    return table


def _plot(samples: Samples, path: Path) -> None:
    """A line a process, where matplotlib is installed."""
    with contextlib.suppress(ImportError):
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(9, 5))
        for name, points in samples.items():
            axes.plot([at_s / 60 for at_s, _ in points], [mb for _, mb in points], label=name, linewidth=1)
        axes.set(xlabel="minutes", ylabel="resident MB", ylim=(0, None))
        axes.legend(fontsize="small", ncols=3)
        figure.savefig(path, dpi=120, bbox_inches="tight")
        pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
