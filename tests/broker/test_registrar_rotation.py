"""The registrar's key is rotated in the midst of a study, on a real broker: who pinned the former one follows alone."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audit.recompute import Audit, Auditor
from ops.kafka import Broker
from ops.link_proxy import LinkProxy
from protocol.digests import record_digest
from protocol.registrar_keys import hand_on
from protocol.rings import OpenRing
from protocol.signing import SigningKey
from registry.registrar import Registrar
from registry.registrar_rotation import KafkaLog, RegistrarRotated, rotate_registrar_key
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Announcement, Outcome, Role, Roster
from schemas.roster import Membership
from tests.broker.federation import Federation, federation
from tests.broker.participants import (
    finished_then_killed,
    hospital,
    late_site,
    other_end,
    pass_versions,
    plan,
)
from tests.broker.test_coordinator import unit
from tests.broker.test_key_rotation import counted_more, nothing_is_lost, revoke
from tests.broker.test_registrar import ENTRY, authority_in
from wardround import AsyncFederation
from wardround.cli import main

pytestmark = pytest.mark.broker
KEPT = {"versions_kept": 50}


async def rotate(fed: Federation) -> RegistrarRotated:
    """At the registrar's own desk: what members have pinned, `registrar.pub` of the folder, stays the former key."""
    desk = fed.folder / "desk"
    if not desk.exists():
        desk.mkdir()
        for name in ("registrar.sign", "registrar.pub"):
            shutil.copy2(fed.folder / name, desk / name)
    rotated = await rotate_registrar_key(desk / "registrar.sign", KafkaLog(fed.kafka))
    fed.registrar = SigningKey.load(desk / "registrar.sign")
    return rotated


def pins(fed: Federation) -> list[bytes]:
    """The former and the new public key, as files hold them."""
    found = [(folder / "registrar.pub").read_bytes() for folder in (fed.folder, fed.folder / "desk")]
    assert found[0] != found[1]
    return found


async def seen(fed: Federation, pinned: bytes) -> Membership:
    found = await AsyncFederation(fed.bootstrap, registrar_key=pinned, tls=fed.kafka.tls).membership()
    assert found is not None
    return found


async def check(fed: Federation, pinned: bytes, version: int) -> Audit:
    auditor = Auditor(fed.kafka, pinned, OpenRing.load(fed.folder / "coordinator.open"))
    try:
        return await auditor.check(fed.study, version)
    finally:
        await auditor.close()


async def rosters(fed: Federation) -> dict[int, int]:
    """Version -> serial of the roster under which it was made."""
    return {one.version: one.roster_serial for one in await fed.rounds() if isinstance(one, Announcement)}


async def test_a_site_that_was_away_over_it_comes_back_and_every_version_is_computed_again_under_either_key(
    far: tuple[Broker, int], far_link: LinkProxy, tmp_path: Path
) -> None:
    async with federation(far[0].bootstrap, tmp_path, plan(storage=KEPT), 2) as fed:
        with hospital(fed, late_site(fed).name, bootstrap=other_end(far_link)) as at:
            async with fed.coordinator():
                await fed.version(0)
                sequence = await finished_then_killed(at, far_link)
                at.hold()
                await pass_versions(fed, 2)
                rotated = await rotate(fed)
                assert rotated.roster.serial == 2
                await fed.until(lambda: met(fed.folder / "coordinator", 2), "the new key to be met")
                await pass_versions(fed, 4)
                at.start()
                receipt = await fed.receipt(at.name, sequence)
                assert (receipt.outcome, receipt.weight) == (Outcome.COUNTED, fed.plan.weight(4))
                await counted_more(at)
                await nothing_is_lost(fed, at)
                assert "study held" not in at.log
                assert await met(at.data, 2)
            async with fed.coordinator():  # one that reads all of it anew, under the former key
                await counted_more(at)
                await nothing_is_lost(fed, at)
        made = await rosters(fed)
        assert (made[1], made[2], made[4], max(made.values())) == (1, 1, 2, 2)
        for version in (1, 2, 3, 4, max(made)):
            for pinned in pins(fed):
                assert (await check(fed, pinned, version)).differences == ()
        await recomputed_by_command(fed, fed.folder / "registrar.pub", 1)
        await recomputed_by_command(fed, fed.folder / "desk" / "registrar.pub", 1)


async def met(data: Path, serial: int) -> bool | None:
    """Whether this roster was met under another key than the pinned one, by whoever has this data folder."""
    path = data / "roster.met"
    parts = path.read_text().split() if path.exists() else []
    return True if len(parts) == 4 and parts[1] == str(serial) else None


async def recomputed_by_command(fed: Federation, registrar: Path, version: int) -> None:
    line = [sys.executable, "-m", "wardround", "audit", "recompute", fed.study, "--version", str(version), "--json"]
    line += ["--key", str(fed.folder / "coordinator.open"), "--registrar", str(registrar), "--broker", fed.bootstrap]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"]


async def test_a_member_that_is_revoked_under_the_new_key_is_out_for_whoever_pinned_the_former_one(
    mortal_kafka: Broker, tmp_path: Path, free_port: int
) -> None:
    async with federation(mortal_kafka.bootstrap, tmp_path, plan(), 3) as fed:
        fed.metrics_port = free_port
        first, quick, _ = fed.sites.values()
        with hospital(fed, late_site(fed).name) as at:
            async with fed.coordinator():
                at.start()
                await counted_more(at)
                await rotate(fed)
                await revoke(fed, quick.name)
                stolen = await quick.offer((await fed.announcements())[-1], unit(0))
                await fed.until(lambda: met(at.data, 3), "the roster without it at the site")
                await counted_more(at)
                await nothing_is_lost(fed, at)
                counted = [one.sequence for one in await fed.receipts(quick.name) if one.outcome == Outcome.COUNTED]
                assert stolen not in counted, "its topic is read no more, or what stands there is refused"
        for pinned in pins(fed):
            membership = await seen(fed, pinned)
            assert (membership.serial, membership.sites(fed.study)) == (3, (first.name, at.name))


async def test_a_stolen_former_key_brings_nobody_back(mortal_kafka: Broker, tmp_path: Path) -> None:
    async with federation(mortal_kafka.bootstrap, tmp_path, plan(), 2) as fed:
        thief, (quick, other) = fed.registrar, fed.sites.values()
        active = next(entry for entry in await fed.read(topics.MEMBERS) if entry.key == quick.name.encode())
        await rotate(fed)
        await revoke(fed, quick.name)
        with pytest.raises(LocalError, match="was handed on to"):
            async with Registrar(fed.kafka, thief):
                pass
        listed = fed.membership.members.items()
        back = Roster(9, tuple((name, record_digest(member.to_bytes())) for name, member in listed))
        await fed.writer.send(topics.MEMBERS, thief.sign(back).to_bytes(), topics.ROSTER_KEY)
        await fed.writer.send(topics.MEMBERS, active.value or b"", active.key)
        for pinned in pins(fed):
            membership = await seen(fed, pinned)
            assert (membership.serial, membership.sites(fed.study)) == (3, (other.name,))
        async with Registrar(fed.kafka, fed.registrar) as office:
            assert (await office.publish_roster()).serial == 3, "what the thief put there is not the registrar's"


async def test_two_successors_hold_everybody_until_the_right_key_is_pinned(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    async with federation(mortal_kafka.bootstrap, tmp_path, plan(), 2) as fed:
        former = fed.registrar
        with hospital(fed, late_site(fed).name) as at, capture_logs() as lines:
            async with fed.coordinator():
                at.start()
                await counted_more(at)
                await rotate(fed)
                await fed.until(lambda: met(at.data, 2), "the new key at the site")
                second = hand_on(former, SigningKey.generate(), 1)
                await fed.writer.send(topics.MEMBERS, second.to_bytes(), topics.registrar_key(former.key_id))

                async def held() -> bool | None:
                    return True if any("names two registrars" in line["event"] for line in lines) else None

                await fed.until(held, "word of the fork")
                await at.until(lambda: "has two successors" in at.log, "word of the fork")
                versions = len(await fed.announcements())
                await next(iter(fed.sites.values())).offer((await fed.announcements())[-1], unit(0))
                await asyncio.sleep(2)
                assert len(await fed.announcements()) == versions
            with pytest.raises(LocalError, match="has two successors"):
                await seen(fed, pins(fed)[0])
            assert (await seen(fed, pins(fed)[1])).serial == 2
            assert await at.stop() == 0
            shutil.copy2(fed.folder / "desk" / "registrar.pub", fed.folder / "registrar.pub")
            async with fed.coordinator():
                at.start()
                await fed.version(versions)  # the offer that waited
                await counted_more(at)
                await nothing_is_lost(fed, at)


def test_by_hand_with_a_plan_that_was_signed_before(
    mortal_kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, broker = tmp_path / "keys", ["--broker", mortal_kafka.bootstrap]
    registrar = ["--key", str(keys / "registrar.sign"), *broker]
    draft, signed, late = tmp_path / "plan.toml", tmp_path / "signed", tmp_path / "late.plan.toml"
    authority_in(keys)
    before = [
        ["registrar", "keys", "--out", str(keys)],
        ["keys", "new", "lead", "--out", str(keys)],
        ["keys", "new", "site-1", "--out", str(keys)],
        ["registrar", "approve", str(keys / "lead.pub"), "--role", Role.COORDINATOR.name.lower(), *registrar],
        ["plan", "init", ENTRY, "--study", "small", "--site", "site-1", "--out", str(draft)],
        ["plan", "sign", str(draft), "--key", str(keys / "registrar.sign"), "--out", str(signed)],
        ["plan", "init", ENTRY, "--study", "later", "--site", "site-1", "--out", str(late)],
    ]
    for step in before:
        assert main(step) == 0, step
    shutil.copy2(keys / "registrar.pub", tmp_path / "pinned.pub")
    shutil.copy2(keys / "registrar.sign", tmp_path / "former.sign")
    capsys.readouterr()
    assert main(["registrar", "rotate", "--json", *registrar]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["serial"], told["resumed"], len(told["retired"])) == (2, False, 1)
    after = [
        ["registrar", "approve", str(keys / "site-1.pub"), "--institution", "Clinic North", *registrar],
        ["study", "create", str(signed / "small.plan"), *registrar],
        ["plan", "sign", str(late), "--key", str(keys / "registrar.sign"), "--out", str(signed)],
        ["study", "create", str(signed / "later.plan"), *registrar],
        ["registrar", "invite", "--out", str(tmp_path / "invitation.txt"), *registrar],
        ["registrar", "rotate", *registrar],
        ["registrar", "roster", *registrar],
    ]
    for step in after:
        assert main(step) == 0, step
    out = capsys.readouterr().out
    assert "stands already" in out
    assert f"fingerprint in it: {told['fingerprint']}" in out
    for public in (tmp_path / "pinned.pub", keys / "registrar.pub"):
        options = ["--registrar", str(public), *broker, "--tls", str(keys / "registrar.tls")]
        assert main(["status", "--json", *options]) == 0
        studies = json.loads(capsys.readouterr().out)["studies"]
        assert sorted(one["study"] for one in studies) == ["later", "small"]
    assert main(["registrar", "roster", "--key", str(tmp_path / "former.sign"), *broker, "--tls",
                 str(keys / "registrar.tls")]) == 2  # fmt: skip
    assert "was handed on to" in capsys.readouterr().err
