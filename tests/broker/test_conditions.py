"""A log that somebody has meddled with: each case has a name, nothing is written on top of it, no model is wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.digests import record_digest
from protocol.signing import SigningKey
from schemas import topics
from tests.broker.conftest import delete_topics
from tests.broker.federation import Federation, federation
from tests.broker.test_coordinator import STEP, all_offer, join, metric, plan, unit
from transport.admin import Admin, TopicSpec
from transport.staying.link import Link

pytestmark = pytest.mark.broker


@contextlib.asynccontextmanager
async def played(kafka: Any, tmp_path: Path, port: int) -> AsyncIterator[Federation]:
    """A study whose version 1 is made, and whose coordinator has ended."""
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        async with fed.coordinator():
            await all_offer(fed, await fed.version(0))
            await fed.version(1)
        fed.metrics_port = port
        yield fed


async def condition(fed: Federation, port: int, name: str) -> None:
    """The coordinator says that the study is in this condition."""

    async def found() -> bool | None:
        try:
            said = await asyncio.to_thread(
                metric, fed, port, "wardround_coordinator_study_condition", condition=name
            )  # fmt: skip
        except OSError:
            return None
        return True if said else None

    await fed.until(found, f"the condition {name}")


async def make_anew(fed: Federation, topic: str) -> None:
    """Delete a topic by hand and make it again, empty."""
    await delete_topics(fed.kafka, topic)
    admin = Admin(fed.kafka, Link(fed.kafka))
    await admin.create_topics([TopicSpec(topic)])
    await admin.close()


async def test_a_record_of_the_chain_that_is_missing_is_noticed_whatever_else_lies_there(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        entries = await fed.read(topics.rounds(fed.study))
        await make_anew(fed, topics.rounds(fed.study))
        for entry in (entries[0], entries[2]):
            await fed.writer.send(topics.rounds(fed.study), entry.value or b"")
            await fed.writer.send(topics.rounds(fed.study), b"x")
        async with fed.coordinator():
            await condition(fed, free_port, "log-lost")
            assert len(await fed.read(topics.rounds(fed.study))) == 4


async def test_a_record_that_a_coordinator_signed_and_that_breaks_the_log_stops_the_study(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        coordinator = SigningKey.load(fed.folder / "coordinator.sign")
        newest = (await fed.announcements())[-1]
        wrong = replace(newest, index=newest.index + 1, previous=record_digest(newest.to_bytes()), version=9)
        await fed.writer.send(topics.rounds(fed.study), coordinator.sign(wrong).to_bytes())
        async with fed.coordinator():
            await condition(fed, free_port, "log-unreadable")
            assert len(await fed.read(topics.rounds(fed.study))) == 4


async def test_two_records_in_one_place_stop_the_study(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        coordinator = SigningKey.load(fed.folder / "coordinator.sign")
        fork = replace((await fed.announcements())[-1], patience=7)
        await fed.writer.send(topics.rounds(fed.study), coordinator.sign(fork).to_bytes())
        async with fed.coordinator():
            await condition(fed, free_port, "forked")
            assert len(await fed.read(topics.rounds(fed.study))) == 4


async def test_a_decision_log_that_was_made_anew_is_not_begun_again(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        await make_anew(fed, topics.rounds(fed.study))
        async with fed.coordinator():
            await condition(fed, free_port, "log-lost")
            assert await fed.read(topics.rounds(fed.study)) == []


@pytest.mark.timeout(180)
async def test_a_version_without_the_receipts_of_its_cohort_is_not_built_upon(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        await make_anew(fed, topics.receipts(fed.study))
        before = await fed.rounds()
        async with fed.coordinator():
            await condition(fed, free_port, "log-lost")
        assert await fed.rounds() == before


async def test_a_key_topic_that_was_made_anew_gets_no_second_key_of_its_epoch(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        await make_anew(fed, topics.keys(fed.study))
        async with fed.coordinator():
            await condition(fed, free_port, "log-lost")
            assert await fed.read(topics.keys(fed.study)) == []


async def test_a_key_topic_that_is_made_anew_meanwhile_gets_no_key_for_who_joins(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed, fed.coordinator():
        await condition(fed, free_port, "runs")
        await make_anew(fed, topics.keys(fed.study))
        await join(fed, f"{fed.study}-late")
        await condition(fed, free_port, "log-lost")
        assert await fed.read(topics.keys(fed.study)) == []


async def test_a_decision_log_that_is_made_anew_meanwhile_gets_no_version_out_of_place(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed, fed.coordinator():
        await condition(fed, free_port, "runs")
        base = await fed.version(1)
        await make_anew(fed, topics.rounds(fed.study))
        await all_offer(fed, base)
        await condition(fed, free_port, "log-lost")
        assert await fed.read(topics.rounds(fed.study)) == []


@pytest.mark.usefixtures("impatient")
async def test_without_its_topic_a_study_waits_and_says_which(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        await delete_topics(fed.kafka, topics.commands(fed.study))
        async with fed.coordinator():
            await condition(fed, free_port, "topic-missing")


async def test_offers_gone_before_they_were_read_are_counted_and_the_study_goes_on(
    kafka: Any, tmp_path: Path, free_port: int
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        base, site = await fed.version(1), next(iter(fed.sites.values()))
        await site.offer(base, unit(5))
        admin = Admin(fed.kafka, Link(fed.kafka))
        await admin.trim(topics.offers(site.name), -1)
        await admin.close()
        async with fed.coordinator():
            await condition(fed, free_port, "runs")
            await all_offer(fed, base)
            model = await fed.model(await fed.version(2))
            np.testing.assert_allclose(model[[0, 1, 5]], [STEP, STEP, 0], atol=1e-6)
            assert await asyncio.to_thread(metric, fed, free_port, "wardround_coordinator_offers_lost_total") == 1


async def test_a_sites_topic_that_was_made_anew_is_read_from_its_beginning(
    kafka: Any, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with played(kafka, tmp_path, free_port) as fed:
        base = await fed.version(1)
        await make_anew(fed, topics.offers(next(iter(fed.sites))))
        async with fed.coordinator():

            async def said() -> bool | None:
                return True if "a site's topic was made anew" in capsys.readouterr().out else None

            await fed.until(said, "word of the topic")
            await all_offer(fed, base)
            model = await fed.model(await fed.version(2))
            np.testing.assert_allclose(model[:2], [STEP, STEP], atol=1e-6)
