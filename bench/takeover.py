"""`python -m bench.takeover`: how long a study stands still when its leader is killed, to the next version.

Two coordinators at default settings, each a process, and two scripted sites. Both sites offer at the moment of the
kill, so the next version is the first thing that a successor can make; the time ends when that version can be read.

`--presence N` has each site tell its state N times before the first kill, as in weeks of operation, and waits until the
leader has read that and put it down. With `--unread` nobody reads it: it comes while no coordinator runs.

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
from runtime import logs
from schemas import topics
from schemas.records import Announcement, Bookmark, Presence, Signed
from tests.broker.access import start_broker
from tests.broker.coordinators import Coordinator, check_chain, coordinators, leader
from tests.broker.federation import Federation, Site, federation, small_plan
from tests.broker.test_coordinator import all_offer
from transport.writing.writer import Ticket

RUNS = 20
AT_ONCE = 500


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--presence", type=int, default=0, help="states that each site has told before")
    parser.add_argument("--unread", action="store_true", help="and that no coordinator has read")
    options = parser.parse_args()
    logs.configure("error")
    seconds = asyncio.run(measure(options.runs, options.presence, unread=options.unread))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "takeover.json").write_text(json.dumps({"seconds": seconds}, indent=1))
    print(", ".join(f"{value:.1f}" for value in sorted(seconds)))
    print(f"{len(seconds)} take-overs: median {statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s")


async def measure(runs: int, presence: int = 0, *, unread: bool = False) -> list[float]:
    """Seconds from each SIGKILL to the version after it."""
    with tempfile.TemporaryDirectory() as folder:
        broker = await asyncio.to_thread(start_broker, Path(folder) / "broker")
        try:
            plan = small_plan("takeover", sites=2, versions=10 * runs)
            async with (
                federation(broker.bootstrap, Path(folder) / "members", plan, 2) as fed,
                coordinators(fed, "one", "two") as everybody,
            ):
                if presence:
                    await _after_weeks(fed, everybody[0], presence, unread=unread)
                return await _kill_one_after_the_other(fed, everybody, runs)
        finally:
            await asyncio.to_thread(broker.stop)


async def _kill_one_after_the_other(fed: Federation, everybody: list[Coordinator], runs: int) -> list[float]:
    for one in everybody:
        if one.child is None:
            await _start(fed, one)
    base, seconds = await _newest(fed), list[float]()
    for number in range(runs):
        led = await leader(fed, everybody)
        led.kill()
        seconds.append(await _next_version(fed, base))
        base = await fed.version(base.version + 1)
        print(f"{number + 1:2d}  {seconds[-1]:5.2f} s", flush=True)
        await _start(fed, led)
    await check_chain(fed)
    return seconds


async def _newest(fed: Federation) -> Announcement:
    await fed.version(0)
    return (await fed.announcements())[-1]


async def _after_weeks(fed: Federation, one: Coordinator, presence: int, *, unread: bool) -> None:
    """A version, then `presence` records a site, read by the leader, or by one that starts afterwards and is timed."""
    await _start(fed, one)
    base = await fed.version(0)
    await all_offer(fed, base)
    base = await fed.version(1)
    if unread:
        await one.end()
    for site in fed.sites.values():
        await _tell(fed, site, presence)
    if not unread:
        await fed.until(lambda: _marked(fed, presence), "a bookmark behind it")
        return
    began_s = time.monotonic()
    await _start(fed, one)
    await all_offer(fed, base)
    await fed.version(2)
    print(f"start with {presence} unread a site: {time.monotonic() - began_s:.1f} s", flush=True)


async def _tell(fed: Federation, site: Site, times: int) -> None:
    """Presence of a busy site, one record after the other, with nobody waiting for the broker between them."""
    states = [Presence(site.name, ((fed.study, 1 + number % 6),), "bench") for number in range(6)]
    values = [site.signing.sign(state).to_bytes() for state in states]
    topic, tickets = topics.offers(site.name), list[Ticket]()
    for number in range(times):
        tickets.append(await fed.writer.post(topic, values[number % 6]))
        if len(tickets) == AT_ONCE or number == times - 1:
            for ticket in tickets:
                assert await fed.writer.settle(ticket) is not None
            tickets.clear()


async def _marked(fed: Federation, presence: int) -> bool | None:
    """Whether the newest bookmark lies behind `presence` records of every site."""
    entries = await fed.read(topics.bookmark(fed.study))
    if not entries or entries[-1].value is None:
        return None
    positions = dict(Bookmark.from_bytes(Signed.from_bytes(entries[-1].value).payload).positions)
    return True if all(positions.get(site, 0) >= presence for site in fed.sites) else None


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
