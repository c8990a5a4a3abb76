"""The doctor at a real broker: a healthy member has nothing but ok, and each planted fault is found by its name."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.broker.access import start_broker
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, late_site, plan
from transport.dialing import ProxyChoice
from wardround.doctor.case import Case, Machine, Who
from wardround.doctor.finding import Finding, State
from wardround.doctor.run import diagnose

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
GIB = 1024**3
WELL = Machine(
    synchronised=lambda: True,
    free_bytes=lambda folder: 100 * GIB,
    sync_s=lambda folder: 0.01,
    memory_bytes=lambda: 8 * GIB,
    environ={},
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Federation]:
    folder = tmp_path_factory.mktemp("doctor")
    broker = await asyncio.to_thread(start_broker, folder / "broker")
    async with federation(broker.bootstrap, folder / "keys", plan(), 2) as one:
        yield one
    await asyncio.to_thread(broker.stop)


def of_site(fed: Federation) -> Case:
    name = late_site(fed).name
    Hospital(fed, name)
    return Case(Who.SITE, fed.folder / f"at-{name}" / "participant.toml", WELL)


def of_federation(fed: Federation) -> Case:
    key = fed.folder / "registrar.sign"
    return Case(Who.FEDERATION, machine=WELL, kafka=fed.kafka, choice=ProxyChoice(), registrar_sign=key)


async def examined(case: Case) -> list[Finding]:
    return await asyncio.to_thread(diagnose, case)


def not_ok(findings: list[Finding]) -> list[str]:
    return [f"{one.state} {one.name}: {one.seen}" for one in findings if one.state is not State.OK]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_site_has_nothing_but_ok(fed: Federation) -> None:
    found = await examined(of_site(fed))
    assert not_ok(found) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_federation_has_nothing_but_ok(fed: Federation) -> None:
    case = Case(
        Who.FEDERATION,
        machine=WELL,
        kafka=fed.kafka,
        choice=ProxyChoice(),
        registrar_sign=fed.folder / "registrar.sign",
    )
    found = await examined(case)
    assert not_ok(found) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_coordinator_has_nothing_but_ok(fed: Federation) -> None:
    path = fed.folder / "coordinator.toml"
    path.write_text(
        f'name = "coordinator"\ndata_dir = "{fed.folder}/coordinator"\n[kafka]\nbootstrap = "{fed.bootstrap}"\n'
        f'tls = "{fed.folder}/coordinator.tls"\n[keys]\nsigning = "{fed.folder}/coordinator.sign"\n'
        f'opening = "{fed.folder}/coordinator.open"\nregistrar = "{fed.folder}/registrar.pub"\n'
    )
    found = await examined(Case(Who.COORDINATOR, path, WELL))
    assert not_ok(found) == []
