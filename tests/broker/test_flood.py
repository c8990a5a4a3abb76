"""A member that floods its topic is read within its share; the others' versions go on, and none of its own is lost."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.digests import record_digest
from schemas import topics
from schemas.records import CHUNK_BYTES, BodyRef, Evaluation, Header, Offer, Presence, Signed
from tests.broker.federation import Federation, Site, federation
from tests.broker.test_coordinator import metric, plan, unit
from transport.writing.writer import Ticket

pytestmark = pytest.mark.broker
FLOOD = 6000  # records: three times what a site may have read at once


def garbage(_site: Site) -> bytes:
    return b"0123456789"


def bad_presence(site: Site) -> bytes:
    return replace(site.signing.sign(Presence(site.name, (), "")), signature=bytes(64)).to_bytes()


def bad_evaluation(site: Site) -> bytes:
    """Whole but for its signature: each one has to be verified."""
    payload = bytes((0x96, Evaluation.KIND)) + site.name.encode()
    return Signed(site.signing.key_id, payload, bytes(64)).to_bytes()


def giant_offer(site: Site) -> bytes:
    """Signed by the member itself: 4,096 runs, each of a chunk that is not there."""
    fed = site.federation
    runs = tuple((10**9 + 2 * number, 1) for number in range(4096))
    digests = bytes(32 * len(runs))
    header = Header(
        study=fed.study, site=site.name, signing_key=site.signing.key_id, sequence=10**6, plan=fed.plan.digest,
        base_version=0, base_digest=bytes(32), trustees=(), d=fed.plan.d, payload_digest=record_digest(digests),
        cohort_min=1,
    ).to_bytes()  # fmt: skip
    ref = BodyRef(0, CHUNK_BYTES * len(runs), runs, digests, ())
    return site.signing.sign(Offer(header, (), site.signing.sign_update(header, ()), ref)).to_bytes()


@contextlib.asynccontextmanager
async def flooding(fed: Federation, topic: str, value: bytes, count: int) -> AsyncIterator[None]:
    """`count` records are on the topic; then more come as long as the block lasts."""
    await _post(fed, topic, [value] * count)

    async def more() -> None:
        while True:
            await _post(fed, topic, [value] * 20)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(more())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _post(fed: Federation, topic: str, values: list[bytes]) -> None:
    tickets: list[Ticket] = []
    for value in values:
        if len(value) > 10_000:  # several in one batch would be more than the topic takes
            await fed.writer.send(topic, value)
            continue
        tickets.append(await fed.writer.post(topic, value))
        if len(tickets) == 500:
            for ticket in tickets:
                await fed.writer.settle(ticket)
            tickets = []
    for ticket in tickets:
        await fed.writer.settle(ticket)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("made", "count", "slowed"),
    [(garbage, FLOOD, True), (bad_presence, FLOOD, False), (bad_evaluation, FLOOD, True), (giant_offer, 300, True)],
    ids=["ten bytes", "what is hardly looked at", "bad signatures", "giant offers"],
)
async def test_versions_of_the_others_go_on_while_one_member_floods(
    kafka: Any,
    tmp_path: Path,
    free_port: int,
    capsys: pytest.CaptureFixture[str],
    made: Callable[[Site], bytes],
    count: int,
    slowed: bool,
) -> None:
    gather = {"goal": 2, "minimum": 2}
    async with federation(kafka.bootstrap, tmp_path, plan(sites=3, aggregation=gather), 3) as fed:
        fed.metrics_port = free_port
        loud, *others = fed.sites.values()
        async with fed.coordinator():
            base = await fed.version(0)
            async with flooding(fed, topics.offers(loud.name), made(loud), count):
                for number in range(1, 6):
                    for index, site in enumerate(others):
                        await site.offer(base, unit(index))
                    base = await fed.version(number)
            waits = "wardround_coordinator_site_slowed_total"
            assert bool(await asyncio.to_thread(metric, fed, free_port, waits, site=loud.name)) is slowed
            for site in others:
                assert await asyncio.to_thread(metric, fed, free_port, waits, site=site.name) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if loud.name in line]
        assert 0 < len(lines) < 30


@pytest.mark.timeout(240)
async def test_what_a_member_sends_honestly_behind_its_own_flood_is_counted_in_its_turn(
    kafka: Any, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(sites=2), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        loud, quiet = fed.sites.values()
        await _post(fed, topics.offers(loud.name), [bad_evaluation(loud)] * 2500)
        began_s = time.monotonic()
        await loud.offer(base, unit(0))
        await quiet.offer(base, unit(1))
        assert (await fed.version(1)).n == 2
        assert time.monotonic() - began_s > 1.0, "it was read at once: the flood was too small to be slowed"
