"""`python -m bench.many --sites 1000`: all sites of a study come back at once after an outage, each with an offer.

One embedded broker, one coordinator at its default settings, a process of its own, and scripted, light sites. Their
bodies lie on the broker; then every site tells its presence, an evaluation and its offer, all in one burst. It prints
how long until the last of them is decided and can be read, the coordinator's memory (VmHWM), how long its event loop
was held at most meanwhile, as its own metric says, and how long `status` takes.

Never:    asserts a time.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from audit.federation import AsyncFederation as View
from bench.measure import cpu_seconds, peak_mb
from bench.run import OUT
from protocol.written import read_receipt
from registry.keyfiles import make_member_keys, make_registrar_keys
from registry.members import NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import certify, install_beside, registrar_tls
from registry.registrar import Registrar
from runtime import logs
from schemas import topics
from schemas.plan import Plan, largest_scale_bits
from schemas.records import Announcement, Outcome, Presence, Role
from tests.broker.access import authority, reach, start_broker
from tests.broker.coordinators import Coordinator, coordinators
from tests.broker.federation import Federation, Site, small_plan
from transport.bodies import BodyReader
from transport.reading.log import EARLIEST, LogReader
from transport.staying.link import Link
from transport.writing.writer import Ticket, Writer

SITES, GOAL, PARAMETERS = 1000, 250, 100
AT_ONCE = 50
HEAP_MB = 1024  # of the broker: with the 256 of small trials it answers requests for 2,000 topics late or not at all
HOLD = "wardround_coordinator_event_loop_hold_seconds"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.many", description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=SITES)
    parser.add_argument("--goal", type=int, default=GOAL, help="updates of a version")
    parser.add_argument("--parameters", type=int, default=PARAMETERS)
    options = parser.parse_args()
    logs.configure("error")
    figures = asyncio.run(measure(options.sites, min(options.goal, options.sites), options.parameters))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "many.json").write_text(json.dumps(figures, indent=1))
    for name, value in figures.items():
        print(f"{name:32s} {value}")


class Light(Site):
    """A site that keeps what it would send until all of them send at once."""

    def __init__(self, federation: Federation, card: Any) -> None:
        super().__init__(federation, card)
        self.ready: list[bytes] = []

    async def send(self, value: bytes, topic: str | None = None) -> None:
        self.ready.append(value)

    async def prepare(self, base: Announcement, number: int) -> None:
        """Presence, evaluation and offer; the offer's body is on the broker."""
        plan = self.federation.plan
        await self.send(self.signing.sign(Presence(self.name, ((plan.study, 1),), "bench")).to_bytes())
        await self.evaluate(base, 0.5 + number / 10_000)
        await self.offer(base, np.full(plan.parameters, 0.001, np.float32))


async def measure(sites: int, goal: int, parameters: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        broker = await asyncio.to_thread(start_broker, Path(folder) / "broker", heap_mb=HEAP_MB)
        try:
            gather = {"goal": goal, "minimum": goal, "cohort_max": goal}
            bits = largest_scale_bits(cohort_max=goal, bound=1.0, noise_std=0.0, trustees=0, modulus_bits=32)
            encoding = {"scale_bits": bits}
            plan = small_plan("many", sites=sites, parameters=parameters, aggregation=gather, encoding=encoding)
            async with (
                _federation(broker.bootstrap, Path(folder) / "members", plan, sites) as fed,
                coordinators(fed, "one") as (one,),
            ):
                try:
                    return await _play(fed, one)
                except AssertionError:
                    print("\n".join(one.log.read_text().splitlines()[-40:]))
                    raise
        finally:
            await asyncio.to_thread(broker.stop)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


async def _play(fed: Federation, one: Coordinator) -> dict[str, float]:
    began_s = time.monotonic()
    one.start()
    base = await fed.version(0)
    figures: dict[str, float] = {"sites": len(fed.sites), "goal": fed.plan.aggregation.goal}
    figures["start to version 0, s"] = round(time.monotonic() - began_s, 1)
    _say("version 0")
    await _introduce(fed)
    for batch in _batches(list(enumerate(fed.sites.values()))):
        await asyncio.gather(*(site.prepare(base, number) for number, site in batch if isinstance(site, Light)))
    _say("bodies are on the broker")
    await asyncio.sleep(12)  # a look at all topics lies in between
    assert one.child is not None
    pid, before = one.child.pid, await _holds(one)
    cpu_s, began_s = cpu_seconds(pid), time.monotonic()
    decided, counted = await _all_at_once(fed)
    _say("all decided")
    figures["all decided, s"] = round(decided - began_s, 2)
    figures["counted"] = counted
    figures["coordinator's CPU, s"] = round(cpu_seconds(pid) - cpu_s, 2)
    figures["versions"] = (await fed.announcements())[-1].version
    await asyncio.sleep(32)  # a full collection of garbage
    figures["coordinator's peak, MB"] = round(peak_mb(pid), 1)
    figures["loop held at most, s (bucket)"] = _longest(before, await _holds(one))
    figures["loop held at most since start, s"] = round(
        await one.metric("wardround_coordinator_event_loop_hold_max_seconds") or 0, 3
    )
    _say(json.dumps(figures))
    figures["status, s"] = await _status(fed, counted)
    return figures


async def _status(fed: Federation, counted: int) -> float:
    """Seconds that a person waits for `status`, without the start of Python."""
    began_s = time.monotonic()
    async with View(fed.bootstrap, registrar_key=fed.folder / "registrar.pub") as view:
        history = await view.history(fed.study)
    assert history.counted == counted
    return round(time.monotonic() - began_s, 2)


async def _introduce(fed: Federation) -> None:
    """One writer for all sites meets their topics at once; alone, each site would meet its two."""
    producer = await fed.writer._live_producer()
    await producer.client.set_topics([topic(name) for name in fed.sites for topic in (topics.offers, topics.bodies)])


async def _all_at_once(fed: Federation) -> tuple[float, int]:
    """Everything that is ready, and then how long until the last offer has its receipt, and how many counted."""
    reader = LogReader(fed.kafka, fed.link)
    outcomes: dict[str, int] = {}
    try:
        await reader.assign({topics.receipts(fed.study): EARLIEST})
        sending = asyncio.create_task(_send_all(fed))
        while len(outcomes) < len(fed.sites):
            for entry in await reader.batch(records_max=1000):
                receipt = read_receipt(entry.value, fed.membership, fed.study)
                outcomes[receipt.site] = receipt.outcome
        decided_s = time.monotonic()
        await sending
        return decided_s, sum(outcome == Outcome.COUNTED for outcome in outcomes.values())
    finally:
        await reader.close()


async def _send_all(fed: Federation) -> None:
    tickets: list[Ticket] = []
    for site in fed.sites.values():
        assert isinstance(site, Light)
        tickets += [await fed.writer.post(topics.offers(site.name), value) for value in site.ready]
    for ticket in tickets:
        assert await fed.writer.settle(ticket) is not None


async def _holds(one: Coordinator) -> dict[float, float]:
    """Bound in seconds -> how often the loop was held no longer than that."""
    page = await asyncio.to_thread(one._page)
    lines = (line for line in page.splitlines() if line.startswith(f"{HOLD}_bucket"))
    return {float(line.split('le="')[1].split('"')[0]): float(line.rsplit(" ", 1)[1]) for line in lines}


def _longest(before: dict[float, float], after: dict[float, float]) -> float:
    """The least bound that holds for everything in between."""
    total = after[float("inf")] - before[float("inf")]
    return min(bound for bound in after if after[bound] - before[bound] >= total)


@contextlib.asynccontextmanager
async def _federation(bootstrap: str, folder: Path, plan: Plan, sites: int) -> AsyncIterator[Federation]:
    """As tests.broker.federation makes it, in steps that a broker answers in time."""
    registrar = make_registrar_keys(folder)
    cards = [make_member_keys(name, folder) for name in ("coordinator", *(f"site-{n}" for n in range(sites)))]
    certified = certify(authority(), cards[0], [Role.COORDINATOR], utc_now())
    install_beside(folder / "coordinator.pub", certified)
    registrar_tls(authority(), folder / "registrar.sign", utc_now())
    kafka = reach(bootstrap, "bench-many", fetch_wait_ms=50)
    async with Registrar(kafka, registrar) as office:
        roles = [(Role.COORDINATOR if card.name == "coordinator" else Role.SITE,) for card in cards]
        for batch in _batches([NewMember(card, role) for card, role in zip(cards, roles, strict=True)]):
            await office.publish_members(batch)
        _say(f"{sites} sites are enrolled")
        await office.publish_roster()
        await office.create_study(plan, bytes(4 * plan.parameters))
        membership = office.membership
    assert membership is not None
    link = Link(kafka)
    writer, reader = Writer(kafka, link), BodyReader(kafka, link)
    fed = Federation(folder, bootstrap, plan, registrar, membership, {}, kafka, link, writer, reader)
    fed.sites.update({card.name: Light(fed, card) for card in cards[1:]})
    try:
        yield fed
    finally:
        await fed.close()


def _batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))


if __name__ == "__main__":
    main()
