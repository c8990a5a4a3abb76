"""The Python API against a real broker: what a notebook sees of a study, with the keys it has."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from audit.history import StudyHistory
from audit.study_log import StudyLog
from ops.kafka import Broker
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import LocalError, TransientError
from tests.broker.access import registrar_tls_folder
from tests.broker.conftest import delete_topics, make_topics
from tests.broker.federation import Federation as Small
from tests.broker.federation import federation, small_plan
from wardround import AsyncFederation, Federation
from wardround.cli import main

pytestmark = pytest.mark.broker


async def one_version(small: Small) -> None:
    """Each site judges version 0 and offers an update; version 1 is made of them."""
    first = await small.version(0)
    for number, site in enumerate(small.sites.values()):
        await site.evaluate(first, 0.5 + 0.1 * number)
        await site.offer(first, np.full(small.plan.parameters, 0.25, np.float32))
    await small.version(1)


def view(small: Small, member: str | None = None) -> AsyncFederation:
    key = small.folder / f"{member}.open" if member else None
    return AsyncFederation(
        small.bootstrap, registrar_key=small.folder / "registrar.pub", member=member, opening_key=key
    )


async def test_the_history_of_a_study_is_that_of_its_log(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-history", sites=2)
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await one_version(small)
        async with view(small, "coordinator") as seen:
            assert (await seen.studies())["view-history"].digest == plan.digest
            history = await seen.history("view-history")
        async with view(small, "view-history-0") as seen:
            sealed = await seen.history("view-history")
    assert (history.version, history.counted, history.offered) == (1, 2, 2)
    assert history.effective_shares() == dict.fromkeys(small.sites, 0.5)
    assert history.overall(0) == pytest.approx(0.55)
    assert not history.sealed
    assert sealed.sealed, "a site's key does not open what other sites measured"
    assert sealed.overall(0) is None, "and two sites are not summed up for everybody"
    assert [dict(site.evaluations.get(0, {})) for site in sealed.sites.values()] == [{}, {}]
    assert sealed.forbidden == (topics.offers("view-history-1"),), "nor does it read another site's offers"


async def test_everybody_hears_what_many_sites_measured_together_and_nobody_finds_a_value_on_a_topic(
    kafka: Broker, tmp_path: Path
) -> None:
    plan = small_plan("view-sealed", sites=3)
    async with federation(kafka.bootstrap, tmp_path, plan, 3) as small, small.coordinator():
        await one_version(small)
        async with view(small) as seen:
            history = await seen.history("view-sealed")
        names = [topics.bookmark(plan.study), topics.rounds(plan.study), topics.receipts(plan.study)]
        for site in small.sites:
            names += [topics.offers(site)]
        values = [entry.value or b"" for name in names for entry in await small.read(name)]
    assert history.overall(0) == pytest.approx(0.6)
    assert history.summaries[0].sites == 3
    told = [0.5, 0.6, 0.7, 10.0]
    clear = [struct.pack(">d", value) for value in told] + [msgpack.packb(round(value * 1e6)) for value in told]
    summary = struct.pack(">d", history.summaries[0].value)  # what all sites together reach is for everybody
    assert not [one for one in clear if one != summary and any(one in value for value in values)]
    assert not any(plan.evaluation.metric.encode() in value for value in values)


async def test_a_member_opens_every_version_that_is_kept(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-version", sites=2)
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await one_version(small)
        async with view(small, "view-version-0") as seen:
            newest = await seen.model("view-version")
            assert not (await seen.model("view-version", 0)).any()
            with pytest.raises(LocalError, match="has no version 7"):
                await seen.model("view-version", 7)
    assert newest.dtype == np.float32
    np.testing.assert_allclose(newest, 0.25, atol=1e-4)


async def test_a_version_is_not_opened_without_the_right_keys(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-keys", sites=2)
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await small.version(0)
        async with view(small) as seen:
            with pytest.raises(LocalError, match="needs a member's keys"):
                await seen.model("view-keys")
        wrong = AsyncFederation(
            small.bootstrap,
            registrar_key=small.folder / "registrar.pub",
            member="view-keys-0",
            opening_key=small.folder / "view-keys-1.open",
        )
        with pytest.raises(LocalError, match="was not given the key"):
            await wrong.model("view-keys")


async def test_following_tells_of_what_happens_after_it_began(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-follow", sites=2)

    async def until_version_1(seen: AsyncFederation) -> StudyHistory:
        async for history in seen.follow("view-follow", pace_s=0.01):
            if history.version == 1:
                return history
        raise AssertionError("follow ended")

    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await small.version(0)
        following = asyncio.create_task(until_version_1(view(small)))
        await one_version(small)
        async with asyncio.timeout(30):
            history = await following
    assert history.counted == 2


@pytest.mark.usefixtures("impatient")
async def test_following_goes_on_without_a_topic_names_it_and_takes_it_up_again(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.following.MISSING_S", 0.2)
    plan = small_plan("view-follow-missing", sites=2)
    own = topics.offers("view-follow-missing-1")

    async def until(following: AsyncIterator[StudyHistory], missing: tuple[str, ...], version: int) -> None:
        async with asyncio.timeout(60):
            async for history in following:
                if (history.missing, history.version) == (missing, version):
                    return

    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small:
        following = view(small).follow(plan.study, pace_s=0.01)
        async with small.coordinator():
            await until(following, (), 0)
            await one_version(small)
            await until(following, (), 1)
        await delete_topics(small.kafka, own)
        await until(following, (own,), 1)
        await make_topics(small.kafka, own)
        await until(following, (), 1)


async def test_without_await_it_works_in_a_running_loop_as_in_a_notebook(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-sync", sites=1)
    async with federation(kafka.bootstrap, tmp_path, plan, 1) as small, small.coordinator():
        await small.version(0)
        with Federation(
            small.bootstrap,
            registrar_key=small.folder / "registrar.pub",
            member="view-sync-0",
            opening_key=small.folder / "view-sync-0.open",
        ) as seen:
            assert "view-sync" in seen.studies()
            assert seen.history("view-sync").version == 0
            assert len(seen.model("view-sync", 0)) == plan.parameters


async def test_a_study_that_is_not_there_is_said_with_those_that_are(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-names", sites=1)
    async with federation(kafka.bootstrap, tmp_path, plan, 1) as small:
        with pytest.raises(LocalError, match="no study nowhere") as caught:
            await view(small).history("nowhere")
    assert "view-names" in caught.value.hint


async def test_a_log_of_another_registrar_alone_is_said(kafka: Broker, tmp_path: Path) -> None:
    plan = small_plan("view-other", sites=1)
    async with federation(kafka.bootstrap, tmp_path, plan, 1) as small:
        stranger = AsyncFederation(small.bootstrap, registrar_key=bytes(range(32)), tls=registrar_tls_folder())
        with pytest.raises(LocalError, match="belongs to another registrar"):
            await stranger.studies()


async def test_a_broker_that_does_not_answer_is_given_up_after_ten_seconds(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.reading.COMMAND_S", 0.5)
    nowhere = AsyncFederation(f"127.0.0.1:{free_port}", registrar_key=bytes(32), tls=registrar_tls_folder())
    with pytest.raises(TransientError, match="not reached"):
        await nowhere.studies()


async def test_a_status_without_a_sites_topic_shows_the_others_and_says_whose_is_missing(
    kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = small_plan("view-missing", sites=2)
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small:
        async with small.coordinator():
            await one_version(small)
        gone = topics.offers("view-missing-1")
        await delete_topics(small.kafka, gone)
        public = ["--registrar", str(tmp_path / "registrar.pub"), "--broker", small.bootstrap]
        assert await asyncio.to_thread(main, ["status", plan.study, *public]) == 0
        told = capsys.readouterr().out
        assert (
            await asyncio.to_thread(
                main, ["status", plan.study, "--json", "--key", str(small.folder / "coordinator.open"), *public]
            )
            == 0
        )
        (values,) = json.loads(capsys.readouterr().out)["studies"]
        async with view(small, "view-missing-0") as seen:
            await delete_topics(small.kafka, topics.keys(plan.study))
            with pytest.raises(LocalError, match=topics.keys(plan.study)):
                await seen.model(plan.study)
    assert "view-missing: version 1" in told
    assert f"missing: the topic of view-missing-1, {gone}" in told
    assert (values["topics_missing"], values["counted"]) == ([gone], 2)
    assert [site["value"] for site in values["sites"]] == [0.5, None]


async def test_a_status_without_a_studys_topic_shows_the_other_studies(
    kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, other = small_plan("view-lost", sites=1), small_plan("view-kept", sites=1)
    async with federation(kafka.bootstrap, tmp_path, plan, 1) as small:
        async with Registrar(small.kafka, small.registrar) as office:
            await office.create_study(other, bytes(4 * other.parameters))
        await delete_topics(small.kafka, topics.rounds(plan.study))
        public = ["--registrar", str(tmp_path / "registrar.pub"), "--broker", small.bootstrap]
        assert await asyncio.to_thread(main, ["status", *public]) == 0
    told = capsys.readouterr().out
    assert f"missing: the study's topic {topics.rounds(plan.study)}" in told
    assert "view-kept: no version yet" in told


@pytest.mark.usefixtures("impatient")
async def test_what_was_read_is_not_read_again_unless_the_topic_or_the_roster_is_another(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, fed = small_plan("view-again", sites=2), list[str]()
    feed = StudyLog.feed

    def counted(self: StudyLog, topic: str, *record: Any) -> bool:
        fed.append(topic)
        return feed(self, topic, *record)

    monkeypatch.setattr(StudyLog, "feed", counted)
    own = topics.offers("view-again-1")
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small:
        async with small.coordinator():
            await small.version(0)
            seen = view(small)
            assert (await seen.history(plan.study)).version == 0
            fed.clear()
            await one_version(small)
            history = await seen.history(plan.study)
            assert (history.version, history.counted, history.offered) == (1, 2, 2)
            assert fed.count(own) == 2, "an evaluation and an offer, nothing that was read before"
        await seen.history(plan.study)
        fed.clear()
        assert (await seen.history(plan.study)).counted == 2
        assert fed == []
        await delete_topics(small.kafka, own)
        assert (await seen.history(plan.study)).missing == (own,)
        await make_topics(small.kafka, own)
        history = await seen.history(plan.study)
        assert (history.missing, history.sites["view-again-1"].offers) == ((), {})
        fed.clear()
        async with Registrar(small.kafka, small.registrar) as office:
            await office.revoke("view-again-1")
        assert (await seen.history(plan.study)).version == 1
        assert topics.rounds(plan.study) in fed, "another roster may revoke keys"
