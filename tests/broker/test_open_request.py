"""A coordinator is killed between Request and Announcement: whoever comes next makes that version of that cohort."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.recompute import Auditor
from protocol.digests import record_digest
from protocol.sealing import OpenKey
from schemas import topics
from schemas.records import Action, Announcement, Outcome, Request
from tests.broker import asking_apart
from tests.broker.coordinators import Coordinator, check_chain, coordinators, leader
from tests.broker.federation import Federation, federation
from tests.broker.test_commands import operator
from tests.broker.test_coordinator import STEP, plan, unit
from transport.admin import Admin

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


async def open_request(fed: Federation) -> Request | None:
    last = (await fed.rounds())[-1]
    return last if isinstance(last, Request) else None


async def differences(fed: Federation, version: int) -> tuple[str, ...]:
    """Of an auditor's computation from what the announcement says."""
    auditor = Auditor(fed.kafka, fed.registrar.public, OpenKey.load(fed.folder / "coordinator.open"))
    try:
        return (await auditor.check(fed.study, version)).differences
    finally:
        await auditor.close()


async def until_killed_asking(fed: Federation, one: Coordinator) -> Request:
    """The Request that it left open."""
    asked = await fed.until(lambda: open_request(fed), "a Request by itself")

    async def gone() -> bool | None:
        return True if one.child is None or one.child.poll() is not None else None

    await fed.until(gone, "its end")
    one.kill()
    return asked


@pytest.mark.parametrize("successor_asks_apart", [False, True])
async def test_a_successor_announces_the_version_of_exactly_the_cohort_that_was_asked_for(
    kafka: Any, tmp_path: Path, successor_asks_apart: bool
) -> None:
    gather = {"goal": 2, "minimum": 2}
    async with (
        federation(kafka.bootstrap, tmp_path, plan(sites=3, aggregation=gather), 3) as fed,
        coordinators(fed, "first", "second") as (first, second),
    ):
        first.module = asking_apart.__name__
        if successor_asks_apart:
            second.module = asking_apart.__name__
        first.start()
        await leader(fed, [first])
        early, other, late = fed.sites.values()
        base = await fed.version(0)
        asking_apart.death_mark(first.config).touch()
        sequences = {early.name: await early.offer(base, unit(0)), other.name: await other.offer(base, unit(1))}
        asked = await until_killed_asking(fed, first)
        assert {entry.site: entry.sequence for entry in asked.entries} == sequences
        late_sequence = await late.offer(base, unit(2))  # a successor could choose it, if it chose
        second.start()
        announced = await fed.version(1)
        assert announced.request == record_digest(asked.to_bytes())
        assert announced.n == 2
        np.testing.assert_array_equal((await fed.model(announced))[:3], [STEP / 2, STEP / 2, 0])
        for name, sequence in sequences.items():
            assert (await fed.receipt(name, sequence)).outcome == Outcome.COUNTED
        assert await differences(fed, 1) == ()
        await early.offer(announced, unit(0))
        after = await fed.version(2)
        assert (await fed.receipt(late.name, late_sequence)).version == 2
        assert await differences(fed, 2) == ()
        assert after.n == 2
        await check_chain(fed)


async def test_a_cohort_whose_body_is_gone_fails_as_a_whole_and_the_study_goes_on(kafka: Any, tmp_path: Path) -> None:
    async with (
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
        coordinators(fed, "first", "second") as (first, second),
    ):
        first.module = asking_apart.__name__
        first.start()
        await leader(fed, [first])
        base = await fed.version(0)
        asking_apart.death_mark(first.config).touch()
        sites = list(fed.sites.values())
        for number, site in enumerate(sites):
            await site.offer(base, unit(number))
        await until_killed_asking(fed, first)
        admin = Admin(fed.kafka, fed.link)
        await admin.trim(topics.bodies(sites[0].name), -1)
        await admin.close()
        second.start()
        for number, site in enumerate(sites):
            assert (await fed.receipt(site.name, 1)).outcome == Outcome.VOID
            await site.offer(base, unit(number))
        announced = await fed.version(1)
        np.testing.assert_array_equal((await fed.model(announced))[:2], [STEP / 2, STEP / 2])
        assert await differences(fed, 1) == ()
        await check_chain(fed)


async def test_who_is_excluded_while_a_request_is_open_stays_in_the_cohort_that_was_asked_for(
    kafka: Any, tmp_path: Path
) -> None:
    async with (
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
        coordinators(fed, "first", "second") as (first, second),
    ):
        act = await operator(fed)
        first.module = asking_apart.__name__
        first.start()
        await leader(fed, [first])
        base = await fed.version(0)
        asking_apart.death_mark(first.config).touch()
        for number, site in enumerate(fed.sites.values()):
            await site.offer(base, unit(number))
        await until_killed_asking(fed, first)
        await act(Action.EXCLUDE, next(iter(fed.sites)))
        second.start()
        announced: Announcement = await fed.version(1)
        assert announced.n == 2
        assert await differences(fed, 1) == ()
        await check_chain(fed)
