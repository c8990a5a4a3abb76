"""Weeks of signs of life: a history costs what it tells, says how far it is, and of a broker only what is so."""

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audit.study_log import StudyLog
from bench.status import write_presences
from ops.kafka import Broker
from schemas import topics
from schemas.errors import TransientError
from schemas.records import SiteState
from tests.broker.access import reach
from tests.broker.federation import federation, small_plan
from tests.broker.test_federation_view import one_version
from transport.admin import Admin, within
from transport.reading.log import EARLIEST, LogReader
from transport.staying.link import Link
from wardround import AsyncFederation

pytestmark = pytest.mark.broker


async def test_a_history_is_the_same_without_the_signs_of_life_that_say_nothing_new(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[str] = []
    feed = StudyLog.feed

    def counted(self: StudyLog, topic: str, value: bytes | None, at_ms: int, since_ms: int | None = None) -> bool:
        fed.append(topic)
        return feed(self, topic, value, at_ms, since_ms)

    monkeypatch.setattr(StudyLog, "feed", counted)
    plan, told = small_plan("long-log", sites=2), list[tuple[int, int]]()
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await one_version(small)
        names = list(small.sites)
        await write_presences(kafka.bootstrap, tmp_path, plan.study, names, 3000)
        public = tmp_path / "registrar.pub"
        async with AsyncFederation(
            kafka.bootstrap,
            registrar_key=public,
            opening_key=tmp_path / "coordinator.open",
            progress=lambda done, total: told.append((done, total)),
        ) as view:
            history = await view.history("long-log")
            assert fed.count(topics.offers(names[0])) < 500  # 1,500 signs of life, a change in 10 of them
        fed.clear()
        monkeypatch.setattr("transport.clients.thinned", lambda records, _tell: records)
        async with AsyncFederation(  # another one, that has read nothing yet
            kafka.bootstrap, registrar_key=public, opening_key=tmp_path / "coordinator.open"
        ) as view:
            whole = await view.history("long-log")
    assert fed.count(topics.offers(names[0])) > 1500
    for seen in (history, whole):
        assert (seen.version, seen.counted, seen.offered) == (1, 2, 2)
        assert seen.overall(0) == pytest.approx(0.55)
    end_ms = time.time_ns() // 1_000_000
    for name in names:
        assert history.sites[name].seen_ms[-1] == whole.sites[name].seen_ms[-1]
        assert list(history.sites[name].spans(end_ms)) == list(whole.sites[name].spans(end_ms))
    states = [state for _, state in history.sites[names[0]].states]
    assert states.count(SiteState.TRAINING) > 10  # other states have been told between
    assert told[-1][0] == told[-1][1] > 0


async def test_a_reading_that_gets_on_is_never_given_up_however_long_it_takes(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.reading.COMMAND_S", 5.0)
    batch, slow_ones = LogReader.batch, iter(range(4))  # each below the limit, together above it

    async def slow(self: LogReader, **how: int) -> object:
        if next(slow_ones, None) is None:
            return await batch(self, **how)
        await asyncio.sleep(3.0)
        return await batch(self, records_max=1, wait_ms=how["wait_ms"])

    plan = small_plan("slow-log", sites=2)
    async with federation(kafka.bootstrap, tmp_path, plan, 2) as small, small.coordinator():
        await one_version(small)
        monkeypatch.setattr(LogReader, "batch", slow)
        began_s = time.monotonic()
        async with AsyncFederation(kafka.bootstrap, registrar_key=tmp_path / "registrar.pub") as view:
            assert (await view.history("slow-log")).version == 1
        assert time.monotonic() - began_s > 5


async def test_a_broker_that_sends_its_clients_to_a_name_without_an_address_is_told_with_that_name(
    mortal_kafka: Broker,
) -> None:
    mortal_kafka.stop()
    settings = mortal_kafka.folder / "server.properties"
    text = settings.read_text()
    settings.write_text(
        text.replace("advertised.listeners=CLIENTS://127.0.0.1", "advertised.listeners=CLIENTS://k.invalid")
    )
    mortal_kafka.launch()
    mortal_kafka.wait_ready()
    kafka = reach(mortal_kafka.bootstrap, "test")
    link, changes = Link(kafka), list[bool]()
    link.on_change(changes.append)
    reader, admin = LogReader(kafka, link), Admin(kafka, link)
    said = rf"to k\.invalid:{mortal_kafka.port} \(its advertised\.listeners\), and the name k\.invalid "
    with capture_logs() as lines:
        for attempt in (admin.existing(["x"]), reader.assign({"x": EARLIEST})):
            with pytest.raises(TransientError, match=said):
                await within(attempt, 60, link)
    assert changes == [False]  # never "reached again"
    assert {line["event"] for line in lines} == {"broker away, trying again"}
    await asyncio.gather(reader.close(), admin.close())
