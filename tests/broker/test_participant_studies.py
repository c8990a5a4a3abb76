"""One participant, several studies: none of them stands in the way of another."""

from pathlib import Path

import pytest

from ops.kafka import Broker
from registry.registrar import Registrar
from schemas.plan import Plan
from schemas.records import Outcome
from tests.broker.federation import Federation, federation
from tests.broker.participants import hospital, late_site, plan

pytestmark = pytest.mark.broker


async def publish(fed: Federation, other: Plan) -> None:
    """Begin another study of the same members."""
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.create_study(other, bytes(4 * other.parameters))


async def test_a_study_that_cannot_begin_leaves_the_others_alone_and_begins_when_it_is_mended(
    kafka: Broker, tmp_path: Path
) -> None:
    broken = plan()
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        await publish(fed, broken)
        with hospital(fed, late_site(fed).name, more=[broken]) as at:
            (at.of(broken) / "broken").touch()
            at.go()
            at.start()
            sequence = await at.finished()
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            await at.until(lambda: at.standing(broken.study).state == "paused", "what is wrong with the other study")
            assert at.standing(broken.study).held.startswith("the data break the contract")
            assert "task and data are not loaded" in at.log
            (at.of(broken) / "broken").unlink()
            await at.until(lambda: (at.of(broken) / "started").exists(), "the mended study")


async def test_a_trainer_that_keeps_dying_in_one_study_does_not_keep_another_from_learning(
    kafka: Broker, tmp_path: Path
) -> None:
    deadly = plan(options=(("dies", "yes"),))
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        await publish(fed, deadly)
        with hospital(fed, late_site(fed).name, more=[deadly]) as at:
            at.go()
            at.start()
            for version in range(1, 4):
                await fed.version(version)
            await at.until(lambda: "training has failed" in at.standing(deadly.study).held, "word of the failures")
            assert "short of memory" in at.log
            before = (await fed.announcements())[-1].version
            await fed.version(before + 2)
            assert at.process is not None
            assert at.process.poll() is None


async def test_a_full_outbox_lets_the_next_study_train_once_there_is_room(kafka: Broker, tmp_path: Path) -> None:
    second = plan()
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        await publish(fed, second)
        with hospital(fed, late_site(fed).name, settings="outbox_bytes_max = 40", more=[second]) as at:
            folders = {fed.study: at.patients, second.study: at.of(second)}
            at.start()
            await at.until(lambda: any((folder / "started").exists() for folder in folders.values()), "training")
            first = next(study for study, folder in folders.items() if (folder / "started").exists())
            other = next(study for study in folders if study != first)
            await at.until(lambda: at.standing(other).held == "the outbox is full", "word of the full outbox")
            assert not (folders[other] / "started").exists()
            (folders[first] / "go").touch()
            await at.until(lambda: (folders[other] / "started").exists(), "room for the other study")
