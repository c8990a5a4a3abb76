"""A participant on a real broker that is cut off, killed, kept away and started again."""

import shutil
from pathlib import Path

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from schemas import topics
from schemas.records import Outcome, Request
from tests.broker.federation import Federation, federation
from tests.broker.participants import (
    Hospital,
    finished_then_killed,
    hospital,
    late_site,
    other_end,
    pass_versions,
    plan,
    serving,
)
from tests.broker.waiting.task import STEP

pytestmark = pytest.mark.broker
AWAY_VERSIONS = 5


async def times_requested(fed: Federation, site: str) -> int:
    requests = [record for record in await fed.rounds() if isinstance(record, Request)]
    return sum(entry.site == site for request in requests for entry in request.entries)


async def test_a_finished_update_of_a_killed_site_counts_once_with_the_weight_of_its_staleness(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            sequence = await finished_then_killed(at, far_link)
            at.hold()
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
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    short = {"staleness_max": 1, "weight_table": (16, 11)}
    async with federation(far[0].bootstrap, tmp_path, plan(aggregation=short), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            await fed.version(0)
            sequence = await finished_then_killed(at, far_link)
            at.hold()
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


async def test_a_data_folder_restored_from_an_old_copy_is_noticed_and_stops_the_site(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            at.go()
            at.start()
            await fed.version(1)
            assert await at.stop() == 0
            shutil.copytree(at.data, tmp_path / "copy")
            at.start()
            reached = (await fed.announcements())[-1].version
            await fed.version(reached + 2)
            assert await at.stop() == 0
            shutil.rmtree(at.data)
            shutil.copytree(tmp_path / "copy", at.data)
            at.start()
            assert await at.ended() == 2
            assert "restored from an old copy" in at.log
            assert "hint:" in at.log
