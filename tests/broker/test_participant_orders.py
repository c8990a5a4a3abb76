"""What a hospital's operator asks of a running participant: to pause, to go on, to leave; and what it then does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ops.kafka import Broker
from schemas import topics
from schemas.records import Outcome, Presence, Signed, SiteState, kind_of
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, hospital, late_site, pass_versions, plan
from wardround.cli import main

pytestmark = pytest.mark.broker


async def order(capsys: pytest.CaptureFixture[str], at: Hospital, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command for the hospital's operator; returns exit code and JSON."""
    capsys.readouterr()
    line = ["participant", words[0], "--config", str(at.config), "--json", *words[1:]]
    code = await asyncio.to_thread(main, line)
    said = capsys.readouterr()
    assert said.out, said.err
    return code, json.loads(said.out)


async def presence(fed: Federation, site: str) -> SiteState:
    """What the federation was told last."""
    told = SiteState.IDLE
    for entry in await fed.read(topics.offers(site)):
        payload = Signed.from_bytes(entry.value or b"").payload
        if kind_of(payload) == Presence.KIND:
            told = SiteState(dict(Presence.from_bytes(payload).states)[fed.study])
    return told


async def test_a_paused_site_does_nothing_over_a_restart_and_then_goes_on_with_the_newest_version(
    kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            await fed.version(0)
            at.start()
            await at.training()
            code, said = await order(capsys, at, "pause", fed.study)
            assert (code, said["taken"], said["studies"][0]["state"]) == (0, True, "paused")
            at.hold()
            await pass_versions(fed, 2)
            assert await at.stop() == 0
            at.start()
            await at.until(lambda: at.state() == "paused", "its start")
            await pass_versions(fed, 3)
            assert not (at.patients / "started").exists()
            assert await presence(fed, at.name) is SiteState.PAUSED
            code, said = await order(capsys, at, "resume", fed.study)
            assert (code, said["taken"]) == (0, True)
            await at.training()
            at.go()
            sequence = await at.finished()
            assert (await fed.receipt(at.name, sequence)).version == 4


async def test_a_site_that_leaves_waits_for_its_receipt_says_so_and_ends(
    kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = {"goal": 2, "minimum": 2}
    async with federation(kafka.bootstrap, tmp_path, plan(aggregation=pairs), 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            base = await fed.version(0)
            at.go()
            at.start()
            sequence = await at.finished()
            await at.until(lambda: at.state() == "waiting", "the offer")
            code, said = await order(capsys, at, "leave")
            assert (code, said["studies"][0]["undecided"]) == (0, 1)
            quick = next(iter(fed.sites.values()))
            await quick.offer(base, (await fed.model(base)).copy())
            assert await at.ended() == 0
            assert (await fed.receipt(at.name, sequence)).outcome == Outcome.COUNTED
            assert at.decisions() == [(sequence, "counted", None)]
            assert await presence(fed, at.name) is SiteState.PAUSED
            at.start()
            assert await at.ended() == 0  # until it is taken back
            code, said = await order(capsys, at, "resume")
            assert (code, said["running"]) == (0, False)
            at.start()
            await at.until(lambda: len(at.outbox()) == 1, "its next update")
