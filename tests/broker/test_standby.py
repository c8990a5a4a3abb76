"""Coordinators that replace each other: killed, stopped, woken, ended; one chain stays, every update counts once."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import topics
from schemas.records import Announcement, Outcome
from tests.broker.access import reach
from tests.broker.coordinators import Coordinator, check_chain, coordinators, leader
from tests.broker.federation import Federation, federation
from tests.broker.lost_markers import losing, unchecked
from tests.broker.test_coordinator import STEP, all_offer, plan, unit
from transport.writing import visible

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


async def both_run(fed: Federation, everybody: list[Coordinator]) -> tuple[Coordinator, Coordinator]:
    """Leader and standby, once both are members of the group."""
    for one in everybody:
        one.start()
    first = await leader(fed, everybody)

    async def waits() -> bool | None:
        return True if all(one.said('"lead partitions"') for one in everybody) else None

    await fed.until(waits, "a standby")
    first = await leader(fed, everybody)
    return first, next(one for one in everybody if one is not first)


async def play(fed: Federation, base: Announcement) -> Announcement:
    """Both sites train once from `base`; the version that comes of it."""
    await all_offer(fed, base)
    return await fed.version(base.version + 1)


async def test_when_the_leader_is_killed_its_standby_announces_the_next_version(kafka: Any, tmp_path: Path) -> None:
    async with (
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
        coordinators(fed, "one", "two") as everybody,
    ):
        first, second = await both_run(fed, everybody)
        base = await play(fed, await fed.version(0))
        first.kill()
        base = await play(fed, base)
        assert await second.leads()
        first.start()  # as the next standby
        second.kill()
        base = await play(fed, base)
        np.testing.assert_allclose((await fed.model(base))[:2], [STEP * 1.5] * 2, atol=1e-6)
        await check_chain(fed)


async def test_a_leader_that_wakes_up_late_commits_nothing_and_becomes_the_standby(kafka: Any, tmp_path: Path) -> None:
    async with (
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
        coordinators(fed, "one", "two") as everybody,
    ):
        first, second = await both_run(fed, everybody)
        base = await fed.version(0)
        site = next(iter(fed.sites.values()))
        await site.offer(base, unit(0))  # half a cohort: the sleeper will find the other half when it wakes
        await asyncio.sleep(0.5)
        first.send(signal.SIGSTOP)
        await leader(fed, [second])
        await list(fed.sites.values())[1].offer(base, unit(1))
        base = await fed.version(1)
        before = await check_chain(fed)
        first.send(signal.SIGCONT)

        async def gave_up() -> bool | None:
            return None if await first.leads() else True

        await fed.until(gave_up, "the sleeper's end as a leader")
        assert await check_chain(fed) == before
        base = await play(fed, base)
        assert await second.leads()
        second.kill()  # the sleeper is a standby as good as any
        base = await play(fed, base)
        np.testing.assert_allclose((await fed.model(base))[:2], [STEP * 1.5] * 2, atol=1e-6)
        assert first.child is not None
        assert first.child.poll() is None
        await check_chain(fed)


async def test_a_leader_that_ends_in_order_hands_over_at_once(kafka: Any, tmp_path: Path) -> None:
    async with (
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
        coordinators(fed, "one", "two") as everybody,
    ):
        first, second = await both_run(fed, everybody)
        base = await play(fed, await fed.version(0))
        assert await first.end() == 0
        await play(fed, base)
        assert await second.leads()
        assert await second.metric("wardround_coordinator_takeovers_total") == 1
        assert await second.metric("wardround_coordinator_fenced_total") == 0


async def test_a_successor_goes_on_from_the_version_that_a_dying_broker_hid(
    kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible, "PATIENCE_S", 0.2)
    async with (
        unchecked(reach(kafka.bootstrap, "tests")),
        federation(kafka.bootstrap, tmp_path, plan(), 2) as fed,
    ):
        decided = topics.rounds(fed.study), topics.receipts(fed.study)
        async with fed.coordinator():
            base = await fed.version(0)
            with losing(*decided, kept=topics.keys(fed.study)) as over:
                sequences = await all_offer(fed, base)
                await over.wait()
        assert [one.version for one in await fed.announcements()] == [0]
        async with fed.coordinator():
            base = await fed.version(1)
            for site, sequence in sequences.items():
                assert (await fed.receipt(site, sequence)).outcome == Outcome.COUNTED
            base = await play(fed, base)
            np.testing.assert_allclose((await fed.model(base))[:2], [STEP] * 2, atol=1e-6)
            await check_chain(fed)
