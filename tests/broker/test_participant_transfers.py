"""Large models and updates over a link that breaks: both go on where they stopped, over a kill of the site too."""

import asyncio
from pathlib import Path

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from schemas import topics
from schemas.records import Outcome
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, break_after, hospital, large, late_site, other_end, plan
from transport.admin import Admin

pytestmark = pytest.mark.broker
PARAMETERS = 12_000_000
SIZE = 4 * PARAMETERS
THIRD = SIZE // 3
SLACK = 8 * 1024 * 1024  # what was under way when the link broke, and everything else that is said


async def uploading_then_killed(fed: Federation, at: Hospital, link: LinkProxy) -> int:
    """Train, send a good part of the update, remember what was acknowledged, be killed; returns its sequence."""
    at.go()
    at.start()
    sequence = await at.finished()
    await break_after(link, up=THIRD, silent=True)
    await asyncio.sleep(1.5)  # an upload that takes longer than a second is worth remembering
    await link.restore()
    await break_after(link, up=THIRD, silent=True)
    await at.until(lambda: at.rows("SELECT count(*) FROM acked") > [(0,)], "a note of what was acknowledged")
    at.kill()
    await link.cut()
    await link.restore()
    assert at.outbox() == [(sequence, 0)]
    return sequence


async def test_a_download_goes_on_where_it_stopped_after_a_kill(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            at.start()
            await break_after(far_link, down=2 * THIRD)
            at.kill()
            await far_link.restore()
            at.start()
            await at.training()
            assert far_link.bytes_down < SIZE + SLACK  # two thirds more, had it begun anew


async def test_an_upload_goes_on_where_it_stopped_after_a_kill(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            sequence = await uploading_then_killed(fed, at, far_link)
            at.start()
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            assert far_link.bytes_up < SIZE + THIRD + SLACK  # two thirds more, had it begun anew


async def test_an_upload_whose_first_chunks_aged_out_meanwhile_is_sent_again_as_a_whole_and_counts_once(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(**large(PARAMETERS)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            sequence = await uploading_then_killed(fed, at, far_link)
            admin = Admin(fed.kafka, fed.link)
            await admin.trim(topics.bodies(at.name), 5)
            await admin.close()
            at.start()
            await at.until(lambda: at.decisions() == [(sequence, "counted", None)], "the receipt")
            said = [receipt.outcome for receipt in await fed.receipts(at.name) if receipt.sequence == sequence]
            assert said == [Outcome.AGAIN, Outcome.COUNTED]
            assert (await fed.version(1)).n == 1
