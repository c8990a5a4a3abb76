"""A participant that is told to end does so at any moment, and what it had finished is all there afterwards.

An exit code of 0 says that it ended by itself within its ten seconds: an end that has to be forced exits with 1.
"""

from pathlib import Path

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from schemas.records import Outcome
from tests.broker.federation import federation
from tests.broker.participants import Hospital, break_after, hospital, large, late_site, other_end, plan

pytestmark = pytest.mark.broker
PARAMETERS = 12_000_000
THIRD = 4 * PARAMETERS // 3


def left_behind(at: Hospital) -> list[str]:
    """Files that only a work in progress may have."""
    return sorted(path.name for folder in ("outbox", "scratch") for path in (at.data / folder).glob("*.half"))


async def stopped(at: Hospital) -> None:
    assert await at.stop() == 0, at.log[-2000:]
    assert "not stopped within" not in at.log
    assert left_behind(at) == []


async def test_it_ends_while_it_trains_even_if_the_task_does_not_heed(kafka: Broker, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            (at.patients / "deaf").touch()
            at.start()
            await at.training()
            await stopped(at)
            at.hold()
            at.go()
            at.start()
            sequence = await at.finished()
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
async def test_it_ends_while_the_broker_cannot_be_reached(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path, silent: bool
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(), 2) as fed:
        await far_link.cut(silent=silent)
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            at.start()
            await at.until(lambda: (at.data / "state.json").exists(), "its start")
            await stopped(at)


async def test_it_ends_in_the_middle_of_a_download_over_a_link_that_has_gone_silent(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            at.start()
            await break_after(far_link, down=THIRD, silent=True)
            await stopped(at)
            await far_link.restore()
            at.start()
            await at.training()


async def test_it_ends_in_the_middle_of_an_upload_over_a_link_that_has_gone_silent(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            at.go()
            at.start()
            sequence = await at.finished()
            await break_after(far_link, up=THIRD, silent=True)
            await stopped(at)
            assert at.outbox() == [(sequence, 0)]
            at.hold()
            await far_link.restore()
            at.start()
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            assert (await fed.version(1)).n == 1
