"""New keys in the midst of a study, on a real broker: nothing is lost or counted twice, old versions still open."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from audit.recompute import Audit, Auditor
from coordinator.app import serve
from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from protocol.rings import OpenRing, SignRing
from protocol.sealing import OpeningKeys, OpenKey
from protocol.signing import key_id
from registry.keyfiles import MemberCard, read_card
from registry.members import NewMember
from registry.registrar import Registrar
from registry.rotation import rotate_member_keys
from runtime.service import first_error
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Announcement, Header, Offer, Outcome, Request, Role, Signed, kind_of
from tests.broker.federation import Federation, federation, small_plan
from tests.broker.participants import (
    Hospital,
    finished_then_killed,
    hospital,
    late_site,
    other_end,
    pass_versions,
    plan,
)
from tests.broker.test_coordinator import all_offer, metric, unit
from tests.broker.waiting.task import STEP
from wardround import AsyncFederation

pytestmark = pytest.mark.broker


async def publish(fed: Federation, card: MemberCard, role: Role = Role.SITE) -> None:
    """The registrar publishes a card, and the roster with it."""
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.publish_members([NewMember(card, (role,))])
        await office.publish_roster()
        assert office.membership is not None
        fed.membership = office.membership


REFUSED = "wardround_coordinator_records_refused_total"
in_one_loop = pytest.mark.asyncio(loop_scope="module")


async def revoke(fed: Federation, name: str) -> None:
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.revoke(name)
        assert office.membership is not None
        fed.membership = office.membership


def rotate(fed: Federation, name: str) -> MemberCard:
    return rotate_member_keys(name, fed.folder).card


@dataclass(frozen=True)
class Signers:
    """The names of the keys that signed an offer, and its header."""

    offer: bytes
    header: bytes


async def offered(fed: Federation, site: str) -> dict[int, Signers]:
    """Sequence -> who signed it last, of what a site has offered."""
    found = {}
    for entry in await fed.read(topics.offers(site)):
        signed = Signed.from_bytes(entry.value or b"")
        if kind_of(signed.payload) == Offer.KIND:
            header = Header.from_bytes(Offer.from_bytes(signed.payload).header)
            found[header.sequence] = Signers(signed.key_id, header.signing_key)
    return found


async def counted_more(at: Hospital) -> None:
    """Let the site train until another update of it has counted."""
    before = len(at.decisions())
    at.go()
    await at.until(lambda: len(at.decisions()) > before, "a further decision")
    at.hold()


async def nothing_is_lost(fed: Federation, at: Hospital) -> None:
    """Whatever the site has offered counted once, and the newest model holds just that."""
    await at.until(lambda: not at.outbox(), "the last receipt")
    rounds = await fed.rounds()
    entries = [one for record in rounds if isinstance(record, Request) for one in record.entries if one.site == at.name]
    sequences = [entry.sequence for entry in entries]
    assert sequences == sorted(set(sequences)) == sorted(await offered(fed, at.name))
    assert at.decisions() == [(sequence, "counted", None) for sequence in sequences]
    newest = [record for record in rounds if isinstance(record, Announcement)][-1]
    assert (await fed.model(newest))[-1] == STEP * sum(entry.weight for entry in entries) / 16


async def signers_of_rounds(fed: Federation) -> list[bytes]:
    return [Signed.from_bytes(entry.value or b"").key_id for entry in await fed.read(topics.rounds(fed.study))]


async def test_a_site_with_new_keys_signs_with_the_former_ones_until_the_new_ones_are_published(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            former = read_card(fed.folder / f"{at.name}.pub")
            at.start()
            await counted_more(at)
            assert await at.stop() == 0
            card = rotate(fed, at.name)
            at.start()
            await counted_more(at)
            assert {one.offer for one in (await offered(fed, at.name)).values()} == {key_id(former.sign)}
            await publish(fed, card)

            async def signs_anew() -> bool | None:
                await counted_more(at)
                newest = max((await offered(fed, at.name)).items())[1]
                return True if newest == Signers(key_id(card.sign), key_id(card.sign)) else None

            await fed.until(signs_anew, "an offer under the new key")
            await nothing_is_lost(fed, at)
            assert "study held" not in at.log


async def test_an_update_of_a_site_whose_keys_were_rotated_while_it_was_away_counts_once(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            former = read_card(fed.folder / f"{at.name}.pub")
            await fed.version(0)
            sequence = await finished_then_killed(at, far_link)
            at.hold()
            card = rotate(fed, at.name)
            await publish(fed, card)
            await pass_versions(fed, 3)
            at.start()
            receipt = await fed.receipt(at.name, sequence)
            assert (receipt.outcome, receipt.weight) == (Outcome.COUNTED, fed.plan.weight(3))
            assert (await offered(fed, at.name))[sequence] == Signers(key_id(card.sign), key_id(former.sign))
            await counted_more(at)  # from a version whose study key was given anew
            await nothing_is_lost(fed, at)


async def test_a_site_that_was_away_while_the_coordinators_keys_were_rotated_goes_on_and_its_update_counts_once(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(), 2) as fed:
        former = read_card(fed.folder / "coordinator.pub")
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            async with fed.coordinator():
                await fed.version(0)
                sequence = await finished_then_killed(at, far_link)
                at.hold()
                await pass_versions(fed, 2)
                newest = (await fed.announcements())[-1]
            quick = next(iter(fed.sites.values()))
            await quick.offer(newest, unit(0))  # sealed to the former key, and waiting
            card = rotate(fed, "coordinator")
            await publish(fed, card, Role.COORDINATOR)
            async with fed.coordinator():
                await fed.version(3)
                await pass_versions(fed, 5)
                at.start()
                receipt = await fed.receipt(at.name, sequence)
                assert (receipt.outcome, receipt.weight) == (Outcome.COUNTED, fed.plan.weight(5))
                await counted_more(at)
                await nothing_is_lost(fed, at)
        signers = await signers_of_rounds(fed)
        assert (signers[0], signers[-1]) == (key_id(former.sign), key_id(card.sign))


async def test_a_running_coordinator_signs_with_its_new_key_from_the_roster_on_that_lists_it(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        former = read_card(fed.folder / "coordinator.pub")
        with hospital(fed, late_site(fed).name) as at:
            async with fed.coordinator():
                at.start()
                await counted_more(at)
            card = rotate(fed, "coordinator")
            async with fed.coordinator():
                await counted_more(at)
                assert set(await signers_of_rounds(fed)) == {key_id(former.sign)}
                await publish(fed, card, Role.COORDINATOR)

                async def signs_anew() -> bool | None:
                    await counted_more(at)
                    return True if (await signers_of_rounds(fed))[-1] == key_id(card.sign) else None

                await fed.until(signs_anew, "a record under the new key")
                await counted_more(at)
                await nothing_is_lost(fed, at)


async def test_a_coordinator_that_has_not_got_its_published_keys_ends_and_loses_nothing(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        task = asyncio.create_task(serve(fed.settings()))
        base = await fed.version(0)
        await publish(fed, rotate(fed, "coordinator"), Role.COORDINATOR)
        async with asyncio.timeout(30):
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, ExceptionGroup)
        assert "another role or opening key" in str(first_error(ended))
        sequence = await next(iter(fed.sites.values())).offer(base, unit(0))
        async with fed.coordinator():
            assert (await fed.receipt(next(iter(fed.sites)), sequence)).version == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rotated(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Federation]:
    """A study that has ended: the auditor's keys were rotated after version 1, the coordinator's after version 2.

    Its optimiser keeps a state, and sites measure every version.
    """
    study = f"rotated-{uuid.uuid4().hex[:12]}"
    parts: dict[str, Any] = {
        "aggregation": {"server_optimiser": "adam", "server_lr": 0.1},
        "storage": {"versions_kept": 10, "auditors": ("auditor",)},
    }
    folder, one = tmp_path_factory.mktemp("rotated"), small_plan(study, sites=2, versions=3, **parts)
    async with federation(kafka.bootstrap, folder, one, 2) as fed:
        async with fed.coordinator():
            await measured_and_offered(fed, 0)
            await fed.version(1)
            await publish(fed, rotate(fed, "auditor"), Role.AUDITOR)
            await measured_and_offered(fed, 1)
            await fed.version(2)
        await publish(fed, rotate(fed, "coordinator"), Role.COORDINATOR)
        async with fed.coordinator():
            await measured_and_offered(fed, 2)
            await fed.version(3)
        yield fed


async def measured_and_offered(fed: Federation, version: int) -> None:
    base = await fed.version(version)
    for site in fed.sites.values():
        await site.evaluate(base, 0.5)
    await all_offer(fed, base)


async def check(fed: Federation, version: int, keys: OpeningKeys) -> Audit:
    auditor = Auditor(fed.kafka, fed.registrar.public, keys)
    try:
        return await auditor.check(fed.study, version)
    finally:
        await auditor.close()


@in_one_loop
@pytest.mark.parametrize("member", ["auditor", "coordinator"])
async def test_every_version_is_computed_again_with_the_ring_of_a_member_whose_keys_were_rotated(
    rotated: Federation, member: str
) -> None:
    keys = OpenRing.load(rotated.folder / f"{member}.open")
    for version in (1, 2, 3):
        assert (await check(rotated, version, keys)).differences == ()


@in_one_loop
async def test_with_the_newest_key_alone_an_older_version_says_which_key_is_missing(rotated: Federation) -> None:
    newest = OpenKey.load(rotated.folder / "auditor.open")
    with pytest.raises(LocalError, match=f"held {newest.key_id.hex()}"):
        await check(rotated, 1, newest)
    assert (await check(rotated, 3, newest)).differences == ()


@in_one_loop
async def test_the_command_finds_the_retired_keys_beside_the_one_it_is_given(rotated: Federation) -> None:
    line = [sys.executable, "-m", "wardround", "audit", "recompute", rotated.study, "--version", "1", "--json"]
    line += ["--key", str(rotated.folder / "auditor.open"), "--registrar", str(rotated.folder / "registrar.pub")]
    line += ["--broker", rotated.bootstrap]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"]


@in_one_loop
async def test_models_and_measurements_of_before_are_read_with_the_key_files_of_now(rotated: Federation) -> None:
    for member in ("auditor", "coordinator"):
        reader = AsyncFederation(
            rotated.bootstrap, registrar_key=rotated.folder / "registrar.pub", member=member,
            opening_key=rotated.folder / f"{member}.open",
        )  # fmt: skip
        for announced in (await rotated.announcements())[1:]:
            there = await reader.model(rotated.study, announced.version)
            assert np.array_equal(there, await rotated.model(announced))
    history = await reader.history(rotated.study)
    assert not history.sealed


async def test_a_key_that_was_revoked_is_refused_and_the_rotated_one_counts(
    kafka: Broker, tmp_path: Path, free_port: int
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        fed.metrics_port = free_port
        site = late_site(fed)
        async with fed.coordinator():
            base = await fed.version(0)
            await revoke(fed, site.name)
            await publish(fed, rotate(fed, site.name))

            async def refused() -> bool | None:
                how = {"site": site.name, "reason": "revoked"}
                seen = await asyncio.to_thread(metric, fed, free_port, REFUSED, **how)
                return True if seen else None

            stolen = await site.offer(base, unit(0))
            await fed.until(refused, "the refusal of the revoked key")
            ring = SignRing.load(fed.folder / f"{site.name}.sign")
            assert ring.signer(site.name, fed.membership).key_id != site.signing.key_id
            site.signing = ring.signer(site.name, fed.membership)
            good = await site.offer(base, unit(1))
            assert (await fed.receipt(site.name, good)).version == 1
            assert stolen not in [one.sequence for one in await fed.receipts(site.name)]
            np.testing.assert_array_equal((await fed.model(await fed.version(1)))[:2], [0, STEP])
