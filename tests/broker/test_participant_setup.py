"""A participant whose task or data cannot be loaded: what it finished goes out, and it begins once they can."""

import asyncio
from pathlib import Path

import pytest

from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from participant.orders import leave, order, resume
from schemas.records import Outcome
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, finished_then_killed, hospital, late_site, other_end, plan

pytestmark = pytest.mark.broker
BROKEN = "the data break the contract; is the share mounted?"


async def killed_before_the_data_went(at: Hospital, link: LinkProxy) -> int:
    sequence = await finished_then_killed(at, link)
    (at.patients / "broken").touch()
    return sequence


async def held(at: Hospital, fed: Federation) -> None:
    await at.until(lambda: at.standing(fed.study).held == BROKEN, "word of the data")
    assert at.state() == "paused"


async def test_an_update_is_offered_and_its_receipt_waited_for_by_who_leaves_although_data_cannot_be_loaded(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    pairs = {"goal": 2, "minimum": 2}
    async with federation(far[0].bootstrap, tmp_path, plan(aggregation=pairs), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            base = await fed.version(0)
            sequence = await killed_before_the_data_went(at, far_link)
            at.start()
            await held(at, fed)
            await at.until(lambda: at.standing(fed.study).unsent == 0, "the offer")
            assert at.standing(fed.study).undecided == 1
            await asyncio.to_thread(order, at.data, leave)
            await asyncio.sleep(1.5)
            assert at.process is not None
            assert at.process.poll() is None
            await next(iter(fed.sites.values())).offer(base, (await fed.model(base)).copy())
            assert await at.ended() == 0
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            assert at.decisions() == [(sequence, "counted", None)]


async def test_the_only_study_waits_for_its_data_and_begins_by_itself_or_at_once_on_resume(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            (at.patients / "broken").touch()
            at.start()
            await held(at, fed)
            assert "task and data are not loaded" in at.log
            (at.patients / "broken").unlink()
            await at.training()
            await at.until(lambda: not at.standing(fed.study).held, "its end of waiting")
            assert await at.stop() == 0
            at.hold()
            (at.patients / "broken").touch()
            at.start()
            await at.until(lambda: at.log.count("data are not loaded") >= 5, "a pause of seconds")
            (at.patients / "broken").unlink()
            await asyncio.to_thread(order, at.data, resume)
            async with asyncio.timeout(2):
                await at.training()


async def test_data_that_are_gone_when_a_trainer_has_to_be_started_anew_are_waited_for(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(options=(("dies", "yes"),)), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            at.start()
            await at.until(lambda: "short of memory" in at.log, "the death of its trainer")
            (at.patients / "broken").touch()
            await held(at, fed)
            deaths = at.log.count("short of memory")
            (at.patients / "broken").unlink()
            await at.until(lambda: at.log.count("short of memory") > deaths, "its next training")


async def test_a_plan_that_does_not_fit_the_only_studys_task_ends_the_service_with_an_error(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(parameters=16), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            at.start()
            assert await at.ended() == 2
            assert "the task has 8 parameters" in at.log
            assert "hint:" in at.log


@pytest.mark.parametrize("use", ["sign", "open"])
async def test_a_participant_with_another_sites_key_says_so_once_and_sends_nothing(
    kafka: Broker, tmp_path: Path, use: str
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        other = next(iter(fed.sites))
        with hospital(fed, late_site(fed).name) as at:
            mixed_up = at.config.read_text().replace(f"{at.name}.{use}", f"{other}.{use}")
            at.config.write_text(mixed_up)
            await fed.version(0)
            at.go()
            at.start()
            await at.until(lambda: f"it is a key of {other}" in at.standing(fed.study).held, "word of the key")
            await asyncio.to_thread(order, at.data, resume)
            await at.until(lambda: "study stays held" in at.log, "the answer to the operator")
            assert at.state() == "paused"
            assert at.log.count('"study held"') == 1
            assert "does not open" not in at.log
            assert at.rows("SELECT * FROM outbox") == []
            assert await at.stop() == 0
