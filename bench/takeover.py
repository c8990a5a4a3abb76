"""`python -m bench.takeover`: how long a study stands still when its leader is killed, to the next version.

Two coordinators at default settings, each a process, and two scripted sites. Both sites offer at the moment of the
kill, so the next version is the first thing that a successor can make; the time ends when that version can be read.

Knows:    the clock of this process alone: kill and reading happen here.
Never:    asserts a time.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.run import OUT
from ops.kafka import Broker
from runtime import logs
from schemas.records import Announcement
from tests.broker.coordinators import Coordinator, check_chain, coordinators, leader
from tests.broker.federation import Federation, federation, small_plan
from tests.broker.test_coordinator import all_offer

RUNS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    runs: int = parser.parse_args().runs
    logs.configure("error")
    seconds = asyncio.run(measure(runs))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "takeover.json").write_text(json.dumps({"seconds": seconds}, indent=1))
    print(", ".join(f"{value:.1f}" for value in sorted(seconds)))
    print(f"{len(seconds)} take-overs: median {statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s")


async def measure(runs: int) -> list[float]:
    """Seconds from each SIGKILL to the version after it."""
    with tempfile.TemporaryDirectory() as folder:
        broker = await asyncio.to_thread(Broker.start, Path(folder) / "broker")
        try:
            plan = small_plan("takeover", sites=2, versions=10 * runs)
            async with (
                federation(broker.bootstrap, Path(folder) / "members", plan, 2) as fed,
                coordinators(fed, "one", "two") as everybody,
            ):
                return await _kill_one_after_the_other(fed, everybody, runs)
        finally:
            await asyncio.to_thread(broker.stop)


async def _kill_one_after_the_other(fed: Federation, everybody: list[Coordinator], runs: int) -> list[float]:
    for one in everybody:
        await _start(fed, one)
    base, seconds = await fed.version(0), list[float]()
    for number in range(runs):
        led = await leader(fed, everybody)
        led.kill()
        seconds.append(await _next_version(fed, base))
        base = await fed.version(base.version + 1)
        print(f"{number + 1:2d}  {seconds[-1]:5.2f} s", flush=True)
        await _start(fed, led)
    await check_chain(fed)
    return seconds


async def _next_version(fed: Federation, base: Announcement) -> float:
    began_s = time.monotonic()
    await all_offer(fed, base)
    await fed.version(base.version + 1)
    return time.monotonic() - began_s


async def _start(fed: Federation, one: Coordinator) -> None:
    """Start a coordinator, and wait until it takes part in the election."""
    before = one.said('"lead partitions"') if one.log.exists() else 0
    one.start()

    async def joined() -> bool | None:
        return True if one.said('"lead partitions"') > before else None

    await fed.until(joined, f"{one.name} as a member")


if __name__ == "__main__":
    main()
