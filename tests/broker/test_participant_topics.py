"""Topics that are missing, or deleted by hand: they keep one study of a participant waiting, and nothing else."""

from pathlib import Path

import pytest

from ops.kafka import Broker
from participant.orders import forget
from registry.registrar import Registrar
from schemas import topics
from schemas.plan import Plan
from schemas.records import Outcome
from tests.broker.conftest import delete_topics, make_topics
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, hospital, late_site, plan

pytestmark = pytest.mark.broker


async def create(fed: Federation, study: Plan) -> None:
    """What `wardround study create` does; run again, it makes topics that are missing."""
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.create_study(study, bytes(4 * study.parameters))


async def waits(at: Hospital, study: str, topic: str) -> None:
    await at.until(lambda: f"no topic {topic}" in at.standing(study).held, f"word of {topic}")
    assert at.standing(study).state == "paused"


async def test_a_study_without_its_topics_waits_for_them_while_the_others_of_the_site_go_on(
    kafka: Broker, tmp_path: Path
) -> None:
    other = plan()
    async with federation(kafka.bootstrap, tmp_path, plan(versions=3), 2) as fed:
        await create(fed, other)
        await delete_topics(fed.kafka, topics.keys(other.study))
        with hospital(fed, late_site(fed).name, more=[other]) as at:
            at.go()
            at.start()
            await waits(at, other.study, topics.keys(other.study))
            async with fed.coordinator():
                sequence = await at.finished()
                assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
                assert at.log.count("topics are missing, waiting for them") == 1
                assert "wardround study create" in at.log
                await create(fed, other)
                await at.until(lambda: (at.of(other) / "started").exists(), "the study whose topic is made")
            await at.until(lambda: not at.standing(other.study).held, "its end of waiting")


async def test_the_only_study_of_a_site_waits_for_its_topics_instead_of_ending_the_service(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        await delete_topics(fed.kafka, topics.rounds(fed.study), topics.offers(late_site(fed).name))
        with hospital(fed, late_site(fed).name) as at:
            at.start()
            await waits(at, fed.study, topics.rounds(fed.study))
            await at.until(lambda: "this site's topic is missing" in at.log, "word of the site's own topic")
            assert await at.stop() == 0


async def test_a_missing_own_topic_ends_no_service_that_has_something_to_say_there(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(evaluation={"every": 1}), 2) as fed, fed.coordinator():
        topic = topics.offers(late_site(fed).name)
        await fed.version(0)
        await delete_topics(fed.kafka, topic)
        with hospital(fed, late_site(fed).name) as at:
            at.go()
            at.start()
            await at.until(lambda: "evaluation not sent, trying again" in at.log, "word of the evaluation")
            sequence = await at.finished()
            await make_topics(fed.kafka, topic)
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            assert await at.stop() == 0


async def test_a_topic_deleted_while_it_is_followed_holds_that_study_alone(kafka: Broker, tmp_path: Path) -> None:
    other = plan()
    async with federation(kafka.bootstrap, tmp_path, plan(versions=3), 2) as fed, fed.coordinator():
        await create(fed, other)
        with hospital(fed, late_site(fed).name, more=[other]) as at:
            at.start()
            await at.until(lambda: at.standing(other.study).state in ("fetching", "waiting", "training"), "its work")
            await delete_topics(fed.kafka, topics.receipts(other.study))
            await waits(at, other.study, topics.receipts(other.study))
            at.go()
            sequence = await at.finished()
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            await create(fed, other)
            await at.until(lambda: not at.standing(other.study).held, "its end of waiting")


async def test_repro_a_site_whose_topics_were_made_anew_counts_again_after_a_restart(
    kafka: Broker, tmp_path: Path
) -> None:
    """Its offer was gone with them, and it waited an hour for the receipt."""
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        own = (topics.offers(late_site(fed).name), topics.bodies(late_site(fed).name))
        with hospital(fed, late_site(fed).name) as at:
            async with fed.coordinator():
                at.start()
                await at.training()
            at.go()
            await at.until(lambda: "update offered" in at.log, "its offer")
            sequence = await at.finished()
            await delete_topics(fed.kafka, *own)
            for topic in own:
                await make_topics(fed.kafka, topic)
            assert await at.stop() == 0
            at.start()
            async with fed.coordinator():
                await at.until(lambda: at.decisions()[:1] == [(sequence, "counted", None)], "a receipt that it counted")
                assert await at.stop() == 0


async def begin_anew(fed: Federation) -> None:
    """The study's topics are lost, and the same plan is published once more."""
    lost = (topics.rounds, topics.receipts, topics.keys, topics.models, topics.commands)
    await delete_topics(fed.kafka, *(topic(fed.study) for topic in lost))
    await create(fed, fed.plan)


async def test_repro_a_site_that_remembers_a_log_which_began_anew_says_so_and_begins_anew_when_told(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        with hospital(fed, late_site(fed).name) as at:
            at.go()
            at.start()
            async with fed.coordinator():
                await fed.version(3)
                await at.until(lambda: len(at.decisions()) > 1, "two receipts")
            assert await at.stop() == 0
            met = max(at.rows("SELECT record FROM seen"))[0]
            left = at.rows("SELECT max(sequence) FROM ledger")
            await begin_anew(fed)
            at.start()
            await at.until(
                lambda: f"has no record, this site has seen record {met}" in at.standing(fed.study).held, "word"
            )
            assert at.standing(fed.study).state == "paused"
            async with fed.coordinator():
                await at.until(lambda: "record 0 of" in at.standing(fed.study).held, "word of another record 0")
                assert at.rows("SELECT max(sequence) FROM ledger") == left
                assert await at.stop() == 0
                given_up = forget(at.data, at.name, fed.study)
                assert len(given_up) < 2
                at.start()
                await at.until(lambda: max(at.decisions())[0] > left[0][0], "an update that the new log has decided")
                assert max(at.decisions())[1] == "counted"
