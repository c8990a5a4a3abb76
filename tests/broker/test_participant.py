"""A participant on a real broker that is cut off, killed, kept away and started again."""

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from ops.kafka import Broker
from ops.kafka.ports import free_ports
from ops.link_proxy import LinkProxy
from schemas import topics
from schemas.plan import Plan
from schemas.records import Outcome, Request
from tests.broker.federation import Federation, Site, federation
from tests.broker.participants import Hospital, hospital, serving, waiting_plan
from tests.broker.waiting.task import PARAMETERS, STEP

pytestmark = pytest.mark.broker
_studies = itertools.count()
AWAY_VERSIONS = 5


def plan(**parts: Any) -> Plan:
    """A plan under a study id that no other test has."""
    return waiting_plan(f"p{int(time.time())}-{next(_studies)}", **parts)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, int]]:
    """A broker that is also reached over a link, and the port of that link."""
    port = free_ports(1)[0]
    broker = Broker.start(tmp_path_factory.mktemp("far") / "broker", extra_listeners={"LINK": port})
    yield broker, port
    broker.stop()


@pytest_asyncio.fixture
async def link(far: tuple[Broker, int]) -> AsyncIterator[LinkProxy]:
    """The link, whole at the beginning of each test."""
    broker, port = far
    proxy = LinkProxy(broker.listener_port("LINK"), port=port)
    await proxy.start()
    yield proxy
    await proxy.close()


def other_end(link: LinkProxy) -> str:
    return f"127.0.0.1:{link.port}"


async def pass_versions(fed: Federation, last: int) -> None:
    """The first site makes versions alone, up to `last`."""
    quick = next(iter(fed.sites.values()))
    newest = (await fed.announcements())[-1]
    while newest.version < last:
        update = np.zeros(PARAMETERS, np.float32)
        update[0] = STEP
        await quick.offer(newest, update)
        newest = await fed.version(newest.version + 1)


def late_site(fed: Federation) -> Site:
    """The site that a process plays."""
    return list(fed.sites.values())[-1]


async def times_requested(fed: Federation, site: str) -> int:
    requests = [record for record in await fed.rounds() if isinstance(record, Request)]
    return sum(entry.site == site for request in requests for entry in request.entries)


async def finished_then_killed(at: Hospital, link: LinkProxy) -> int:
    """Train on version 0, lose the link before the update is done, finish it, be killed; returns its sequence."""
    at.start()
    await at.training()
    await link.cut()
    at.go()
    sequence = await at.finished()
    at.kill()
    await link.restore()
    at.hold()
    return sequence


async def test_a_finished_update_of_a_killed_site_counts_once_with_the_weight_of_its_staleness(
    far: tuple[Broker, int], link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(link)) as at:
            await fed.version(0)
            sequence = await finished_then_killed(at, link)
            await pass_versions(fed, AWAY_VERSIONS)
            at.start()
            receipt = await fed.receipt(at.name, sequence)
            weight = fed.plan.weight(AWAY_VERSIONS)
            assert (receipt.outcome, receipt.weight, receipt.version) == (Outcome.COUNTED, weight, AWAY_VERSIONS + 1)
            assert (await fed.model(await fed.version(AWAY_VERSIONS + 1)))[-1] == STEP * receipt.weight / 16
            await at.until(lambda: not at.outbox(), "the receipt")
            at.kill()
            await pass_versions(fed, AWAY_VERSIONS + 3)
            assert await times_requested(fed, at.name) == 1


async def test_a_finished_update_that_grew_too_old_while_its_site_was_away_is_given_up_and_said_so(
    far: tuple[Broker, int], link: LinkProxy, tmp_path: Path
) -> None:
    short = {"staleness_max": 1, "weight_table": (16, 11)}
    async with federation(far[0].bootstrap, tmp_path, plan(aggregation=short), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(link)) as at:
            await fed.version(0)
            sequence = await finished_then_killed(at, link)
            await pass_versions(fed, AWAY_VERSIONS)
            at.start()
            await at.until(lambda: not at.outbox(), "the end of the old update")
            assert at.decisions() == [(sequence, "stale", None)]
            assert f"{fed.study}/{at.name}/{sequence}" in at.log
            assert await times_requested(fed, at.name) == 0


async def test_an_update_offered_too_late_is_refused_with_a_receipt_that_says_stale(
    far: tuple[Broker, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"staleness_max": 1, "weight_table": (16, 11)}
    async with federation(far[0].bootstrap, tmp_path, plan(aggregation=short), 2) as fed, fed.coordinator():
        await fed.version(0)
        at = Hospital(fed, late_site(fed).name)
        async with serving(at, monkeypatch) as reader:
            await at.training()
            reader.pause(topics.rounds(fed.study))  # it does not hear of what happens meanwhile
            await pass_versions(fed, AWAY_VERSIONS)
            at.go()
            sequence = await at.finished()
            receipt = await fed.receipt(at.name, sequence)
            assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, "stale")
            await at.until(lambda: at.decisions() == [(sequence, "refused", "stale")], "the receipt")
