"""`python -m tests.faults`: faults for a while, a quiet phase, then the books.

Knows:    loopback alone; bounded by the duration, and by what starting, settling and auditing may take.
Never:    ends without an answer: exit code 0 means the balance is exact, 1 that it is not.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import time
from pathlib import Path

from protocol.files import write_whole
from runtime import logs
from runtime.service import report
from schemas.errors import FederationError
from tests.faults.acts import Acts
from tests.faults.balance import balance
from tests.faults.evidence import Evidence, read_evidence, read_site
from tests.faults.federation import Federation, federation
from tests.faults.health import wait_until_well
from tests.faults.models import recompute_all
from tests.faults.result import Result
from tests.faults.schedule import Role, schedule
from tests.faults.stage import Round
from wardround.demo.stage import COORDINATOR

OUT = Path("out/faults")
BEGIN_S = 180.0  # until every service is well before anything happens to it
QUIET_S = 120.0
SETTLE_S = 2.0  # for the coordinator to read what the sites said last


def main() -> int:
    """Run once and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--duration-s", type=float, default=600.0, help="seconds of faults (default 600)")
    parser.add_argument("--seed", type=int, default=None, help="draws the faults; default: a random one, printed")
    parser.add_argument("--sites", type=int, default=8, choices=range(2, 17), metavar="2..16")
    parser.add_argument("--coordinators", type=int, default=2, choices=range(1, 5), metavar="1..4")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    logs.configure("error")
    try:
        result = asyncio.run(
            run(Round(seed, arguments.duration_s, arguments.sites, arguments.coordinators), OUT / str(seed))
        )
    except FederationError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    print(result.text())
    return 1 if result.failures else 0


async def run(round_: Round, out: Path) -> Result:
    """One run; its JSON lies beside `out`, the services' logs in it, on failure their databases too."""
    _say("starting everything")
    async with federation(round_, out) as one:
        try:
            result = await _play_and_judge(one)
        except BaseException:
            await asyncio.to_thread(_keep, one, out / "kept")
            raise
        write_whole(out.with_suffix(".json"), json.dumps(result.values(), indent=1).encode())
        if result.failures:
            await asyncio.to_thread(_keep, one, out / "kept")
        _say("stopping everything")
    return result


async def _play_and_judge(one: Federation) -> Result:
    acts, watcher = Acts(one), asyncio.create_task(one.watch())
    try:
        _say("waiting until every service is well")
        unwell = await wait_until_well(one, _now_ms(), BEGIN_S)
        if not unwell:
            _say(f"{one.round.duration_s:g} s of faults")
            await acts.play(schedule(one.round.seed, one.round.duration_s))
            _say("quiet")
            unwell = await wait_until_well(one, _now_ms(), QUIET_S)
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    stops = await _stop_all(one)
    result = await _books(one, acts)
    result.unwell, result.stops = unwell, stops
    return result


async def _stop_all(one: Federation) -> list[str]:
    """SIGTERM the sites, then the coordinators. Returns one line for each that did not end well."""
    wrong = []
    for role in (Role.PARTICIPANT, Role.COORDINATOR):
        members = one.of(role)
        codes = await asyncio.gather(*(one.stop(service) for service in members))
        for service, code in zip(members, codes, strict=True):
            if code != 0:
                how = "did not stop in time" if code is None else f"stopped with {code}"
                wrong.append(f"{service.name} {how}:\n{service.process.last_lines()}")
        await asyncio.sleep(SETTLE_S)
    return wrong


async def _books(one: Federation, acts: Acts) -> Result:
    _say("balancing, recomputing every version")
    found = await _evidence(one)
    registrar, opening = one.stage.registrar.public, one.stage.keys / f"{COORDINATOR}.open"
    models = await recompute_all(one.kafka, registrar, opening, one.plan.study)
    return Result(
        one.round, acts, balance(found), models, found.announced_ms, ended=one.ended,
        flips=sum(service.link.flips for service in one.services),
    )  # fmt: skip


async def _evidence(one: Federation) -> Evidence:
    aggregation, names = one.plan.aggregation, one.round.names
    found = await read_evidence(one.kafka, one.plan.study, names, staleness_max=aggregation.staleness_max)
    for site in names:
        read_site(found, site, one.stage.folder / site / "site.db")
    return found


def _keep(one: Federation, target: Path) -> None:
    """What is needed to find out: everything but vectors, and the broker's log of itself."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for service in one.services:
        shutil.copytree(
            one.stage.folder / service.name, target / service.name,
            ignore=shutil.ignore_patterns("*.f32", "models", "scratch", "lock"),
        )  # fmt: skip
    for path in (one.stage.folder / "broker").glob("*.log*"):
        with contextlib.suppress(OSError):
            shutil.copy(path, target / f"broker-{path.name}")


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
