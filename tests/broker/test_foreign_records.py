"""Who may write to the broker and has no key of the federation stops nobody, on whatever topic: it is passed over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.recompute import Auditor
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas import topics
from schemas.plan import Plan
from schemas.records import Action, Command, Presence, Signed
from tests.broker.federation import Federation, federation
from tests.broker.test_coordinator import STEP, all_offer, metric, plan
from wardround import AsyncFederation as View

pytestmark = pytest.mark.broker
STRANGER = SigningKey.generate()


def own_topics(study: str) -> dict[str, list[bytes]]:
    """Every topic that is not a site's, with Kafka keys that mean something there."""
    site = f"{study}-0".encode()
    return {
        topics.rounds(study): [b""],
        topics.receipts(study): [site, b"coordinator"],
        topics.keys(study): [b"0/" + site, b"0/coordinator", b"1/" + site],
        topics.commands(study): [b""],
        topics.bookmark(study): [study.encode()],
        topics.models(study): [b""],
        topics.MEMBERS: [b"a-name-that-nobody-has"],
        topics.PLANS: [b"x"],
    }


async def meddle(fed: Federation) -> int:
    """One byte, nothing at all, a stranger's record, and one with a coordinator's name on it, everywhere."""
    forged = Signed(SigningKey.load(fed.folder / "coordinator.sign").key_id, b"\x93\x01\x02\x03", bytes(64))
    values: list[bytes] = [b"x", b"", STRANGER.sign(Presence("nobody", (), "")).to_bytes(), forged.to_bytes()]
    written = 0
    for topic, keys in own_topics(fed.study).items():
        for key in keys:
            for value in values:
                await fed.writer.send(topic, value, key)
                written += 1
    stop = Command(fed.study, 99, Action.STOP, None, None, "")
    await fed.writer.send(topics.commands(fed.study), STRANGER.sign(stop).to_bytes())
    return written


async def replay(fed: Federation) -> None:
    """What the coordinator itself wrote, copied to the end of its topics."""
    for topic in (topics.rounds(fed.study), topics.receipts(fed.study), topics.keys(fed.study)):
        entries = await fed.read(topic)
        for entry in entries[:6]:
            await fed.writer.send(topic, entry.value or b"", entry.key or b"")


@contextlib.asynccontextmanager
async def played(kafka: Any, tmp_path: Path, made: Plan) -> AsyncIterator[Federation]:
    async with federation(kafka.bootstrap, tmp_path, made, 2) as fed:
        yield fed


async def next_version(fed: Federation, number: int) -> None:
    base = await fed.version(number - 1)
    await all_offer(fed, base)
    await fed.version(number)


@pytest.fixture(params=[meddle, replay], ids=["what nobody can believe", "what is old"])
def act(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.timeout(300)
async def test_a_study_goes_on_under_its_leader_and_under_every_later_one(
    kafka: Any, tmp_path: Path, free_port: int, act: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with played(kafka, tmp_path, plan()) as fed:
        async with fed.coordinator():
            await next_version(fed, 1)
            await next_version(fed, 2)
            await act(fed)
            await next_version(fed, 3)
        await act(fed)
        fed.metrics_port = free_port
        async with fed.coordinator():
            await next_version(fed, 4)
            seen = await asyncio.to_thread(metric, fed, free_port, "wardround_coordinator_foreign_records_total")
            assert seen > 0 or act is replay
        fed.metrics_port = 0
        async with fed.coordinator():
            await next_version(fed, 5)
        model = await fed.model(await fed.version(5))
        np.testing.assert_allclose(model[:3], [5 * STEP / 2, 5 * STEP / 2, 0], atol=1e-6)
        assert "study stands" not in capsys.readouterr().out


async def test_history_and_recomputation_pass_over_what_no_coordinator_wrote(
    kafka: Any, tmp_path: Path, act: Any
) -> None:
    async with played(kafka, tmp_path, plan()) as fed:
        async with fed.coordinator():
            await next_version(fed, 1)
            await act(fed)
            await next_version(fed, 2)
        async with View(fed.bootstrap, registrar_key=fed.folder / "registrar.pub") as view:
            history = await view.history(fed.study)
        assert (history.version, history.counted, history.orders.stopped) == (2, 4, False)
        assert bool(history.left_out[topics.rounds(fed.study)]) is (act is meddle)
        auditor = Auditor(fed.kafka, fed.registrar.public, OpenKey.load(fed.folder / "coordinator.open"))
        try:
            assert (await auditor.check(fed.study, 2)).differences == ()
        finally:
            await auditor.close()


async def test_a_flood_of_strangers_records_is_told_in_few_lines(
    kafka: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with played(kafka, tmp_path, plan()) as fed:
        async with fed.coordinator():
            await next_version(fed, 1)
        for _ in range(20):
            await asyncio.gather(*(fed.writer.send(topics.rounds(fed.study), b"x") for _ in range(100)))
        capsys.readouterr()
        async with fed.coordinator():
            await next_version(fed, 2)
        lines = [line for line in capsys.readouterr().out.splitlines() if "record passed over" in line]
        assert 0 < len(lines) < 10


async def test_a_receipt_that_somebody_wrote_over_is_written_once_more(kafka: Any, tmp_path: Path) -> None:
    async with played(kafka, tmp_path, plan()) as fed:
        async with fed.coordinator():
            await next_version(fed, 1)
        name, own = f"{fed.study}-0", topics.receipts(fed.study)
        (before,) = await fed.receipts(name)
        await fed.writer.send(own, b"x", name.encode())
        async with fed.coordinator():

            async def last() -> bytes | None:
                entries = [entry for entry in await fed.read(own) if entry.key == name.encode()]
                return entries[-1].value if entries[-1].value != b"x" else None

            value = await fed.until(last, "the receipt again")
        assert Signed.from_bytes(value).payload == before.to_bytes()
