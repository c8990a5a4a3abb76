"""What a coordinator has read once, its successor does not read again: the bookmark on a real broker."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from coordinator.shell import bookmarks, offers
from protocol.signing import SigningKey
from protocol.tls.requests import new_tls_key
from registry.keyfiles import MemberCard
from registry.members import NewMember
from registry.registrar import Registrar
from schemas import topics
from schemas.records import Bookmark, Presence, Role, Signed, Stop
from tests.broker.conftest import delete_topics
from tests.broker.federation import Federation, federation, small_plan
from tests.broker.test_coordinator import all_offer, unit

pytestmark = pytest.mark.broker
_studies = itertools.count()
TOLD = 40


def study(**parts: Any) -> Any:
    return small_plan(f"mark{int(time.time())}-{next(_studies)}", sites=2, **parts)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookmarks, "RECORDS_MAX", TOLD // 2)
    monkeypatch.setattr(bookmarks, "INTERVAL_S", 0.0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Topic and offset of every record that a coordinator read of the sites."""
    found: list[tuple[str, int]] = []

    def noted(entries: Any) -> Any:
        found.extend((entry.topic, entry.offset) for entry in entries)
        return entries

    monkeypatch.setattr(offers, "worth_reading", noted)
    return found


async def tell(fed: Federation) -> dict[str, int]:
    """Every site tells its state often; returns where each topic ends then."""
    ends = {}
    for site in fed.sites.values():
        value = site.signing.sign(Presence(site.name, ((fed.study, 1),), "")).to_bytes()
        for _ in range(TOLD):
            ends[site.name] = await fed.writer.send(topics.offers(site.name), value) + 1
    return ends


async def marked(fed: Federation, least: dict[str, int]) -> Bookmark:
    async def found() -> Bookmark | None:
        entries = await fed.read(topics.bookmark(fed.study))
        if not entries or entries[-1].value is None:
            return None
        bookmark = Bookmark.from_bytes(Signed.from_bytes(entries[-1].value).payload)
        positions = dict(bookmark.positions)
        return bookmark if all(positions.get(site, 0) >= offset for site, offset in least.items()) else None

    return await fed.until(found, "a bookmark behind what was told")


async def test_a_successor_does_not_read_what_was_read_also_of_sites_without_a_receipt(
    kafka: Any, tmp_path: Path, read: list[tuple[str, int]]
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(), 2) as fed:
        async with fed.coordinator():
            await fed.version(0)
            ends = {site: end - TOLD // 2 for site, end in (await tell(fed)).items()}
            await marked(fed, ends)
        read.clear()
        async with fed.coordinator():
            await all_offer(fed, await fed.version(0))
            await fed.version(1)
        again = [(topic, offset) for topic, offset in read if offset < ends[topic.removeprefix(topics.offers(""))]]
        assert read
        assert again == []


async def test_a_new_study_reads_nothing_of_what_sites_wrote_before_it(
    kafka: Any, tmp_path: Path, read: list[tuple[str, int]]
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(), 2) as fed:
        ends = await tell(fed)
        async with fed.coordinator():
            await all_offer(fed, await fed.version(0))
            await fed.version(1)
        assert read
        assert [(topic, offset) for topic, offset in read if offset < ends[topic.removeprefix(topics.offers(""))]] == []


async def test_an_offer_that_waits_is_counted_by_a_successor_once_whatever_was_told_behind_it(
    kafka: Any, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(), 2) as fed:
        early, late = fed.sites.values()
        async with fed.coordinator():
            base = await fed.version(0)
            waiting = await early.offer(base, unit(0))
            ends = await tell(fed)
            bookmark = await marked(fed, {late.name: ends[late.name] - TOLD // 2})
            assert dict(bookmark.positions)[early.name] == 0
        async with fed.coordinator():
            await late.offer(base, unit(0))
            await fed.version(1)
            assert (await fed.receipt(early.name, waiting)).version == 1


async def test_patience_goes_on_from_the_bookmark_and_ends_the_study_at_the_same_version(
    kafka: Any, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(stop={"patience": 2}), 2) as fed:
        for version, value in enumerate((0.5, 0.9, 0.7, 0.8)):
            async with fed.coordinator():
                base = await fed.version(version)
                for site in fed.sites.values():
                    await site.evaluate(base, value)
                ends = await tell(fed)
                bookmark = await marked(fed, {site: end - TOLD // 2 for site, end in ends.items()})
                assert bookmark.version == version
                await all_offer(fed, base)
                newest = await fed.version(version + 1)
        assert (newest.version, newest.patience, newest.stop) == (4, 2, Stop.PATIENCE)


async def test_an_offer_under_a_key_that_comes_with_a_later_roster_is_heard_then_and_passed_by_no_bookmark_before(
    kafka: Any, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(), 2) as fed:
        early, other = fed.sites.values()
        async with fed.coordinator():
            base = await fed.version(0)
            early.signing = SigningKey.generate()
            sequence = await early.offer(base, unit(0))
            ends = await tell(fed)
            bookmark = await marked(fed, {other.name: ends[other.name] - TOLD // 2})
            assert dict(bookmark.positions)[early.name] == 0
            async with Registrar(fed.kafka, fed.registrar) as office:
                card = MemberCard.of(early.name, "", early.signing, early.opening.public, new_tls_key())
                await office.publish_members([NewMember(card, (Role.SITE,))])
                await office.publish_roster()
            await other.offer(base, unit(1))
            assert (await fed.receipt(early.name, sequence)).version == 1


async def test_a_study_without_the_topic_runs_and_says_what_to_do(
    kafka: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with federation(kafka.bootstrap, tmp_path, study(), 2) as fed:
        await delete_topics(fed.kafka, topics.bookmark(fed.study))
        async with fed.coordinator():
            base = await fed.version(0)
            await tell(fed)
            await all_offer(fed, base)
            async with asyncio.timeout(20):
                await fed.version(1)
    assert "wardround study create" in capfd.readouterr().out
