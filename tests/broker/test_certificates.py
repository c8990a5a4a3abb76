"""Certificates over their lives: renewed while a study runs, under another authority, for a site that was away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ops.kafka import Broker, BrokerKeys
from ops.kafka.ports import HOST
from protocol.signing import SigningKey
from protocol.tls.files import certificate_in, install, pem, public_of, roots_in
from protocol.tls.requests import new_tls_key, request_for
from registry.joining.renewals import Renewals
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import broker_keys, certify, install_beside
from registry.pki.profiles import REGISTRAR
from registry.pki.rotation import retire, rotate
from registry.registrar import Registrar
from schemas import topics
from schemas.records import Certificate, Renewal, Role
from studies.linear_regression.task import SAMPLES
from tests.broker.services import PATIENCE_S, Services, services
from tests.broker.test_linear_regression import authored, check_each_update_counted_once, check_every_version
from transport.reading.log import read_to_end
from transport.staying.link import Link
from transport.writing.writer import Writer
from wardround.demo.stage import COORDINATOR, Stage

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
SITES = list(SAMPLES)[:3]
LIFETIME = timedelta(seconds=15)
MINUTES = timedelta(minutes=3)  # of certificates that live so long a service looks after the next one each second


def certified_for(stage: Stage, name: str, lifetime: timedelta | None = None) -> None:
    role = Role.COORDINATOR if name == COORDINATOR else Role.SITE
    issued = certify(stage.authority, stage.cards[name], [role], utc_now(), lifetime=lifetime)
    install_beside(stage.keys / f"{name}.pub", issued)


async def publish_certificates(running: Services) -> None:
    """As `registrar approve` does it, from which it is known which keys may be renewed."""
    stage = running.stage
    folders = {name: stage.keys / f"{name}.tls" for name in stage.cards}
    async with Registrar(running.kafka, stage.registrar) as registrar:
        await registrar.publish_certificates(
            Certificate(name, (folder / "cert.pem").read_bytes(), (folder / "ca.pem").read_bytes())
            for name, folder in folders.items()
        )


def renewals(running: Services, issuer: Authority, *, registrar: bool = False) -> Renewals:
    """Under a key of its own, as an unattended process has it, or the registrar's."""
    stage = running.stage
    key, lifetime = (stage.registrar, 2 * MINUTES) if registrar else (SigningKey.generate(), LIFETIME)
    return Renewals(running.kafka, stage.registrar.public, issuer, key, lifetime=lifetime, clock=utc_now)


@contextlib.asynccontextmanager
async def renewing(running: Services) -> AsyncIterator[None]:
    office = renewals(running, running.stage.authority)

    async def answer() -> None:
        while True:
            await office.answer()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await office.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # files tell nobody that they have changed
            await asyncio.sleep(0.1)


async def test_certificates_of_seconds_are_renewed_again_and_again_while_a_study_runs(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    plan = authored("plain", tmp_path, sites=SITES, versions=60)

    def prepare(stage: Stage) -> None:
        for name in (COORDINATOR, SITES[0]):
            certified_for(stage, name, LIFETIME)

    async with services(mortal_kafka, tmp_path / "out", plan, SITES, prepare=prepare, late=SITES[2:]) as running:
        await publish_certificates(running)
        folder, seen = running.stage.keys / f"{SITES[0]}.tls", set[int]()

        def renewed_thrice() -> bool:
            seen.add(certificate_in(folder).serial_number)
            return len(seen) > 3

        async with renewing(running):
            await until(renewed_thrice)
            running.start_site(SITES[2])  # nothing is learnt before: the study runs under the third certificate
            await running.version(60)
        await check_every_version(running, SITES, 60, weighted=False)
        await check_each_update_counted_once(running, 60)
        for name in (COORDINATOR, SITES[0]):
            assert "certificate renewed" in running.said(name)


async def test_an_authority_is_rotated_in_a_study_and_a_site_that_was_away_comes_back_by_itself(tmp_path: Path) -> None:
    office = tmp_path / "office"
    office.mkdir()
    former = Authority.new("hearts", utc_now())
    former.save(office)
    broker = await asyncio.to_thread(start, tmp_path / "broker", former)
    plan = authored("plain", tmp_path, sites=SITES, versions=30)
    away = SITES[2]

    def prepare(stage: Stage) -> None:
        for name in (COORDINATOR, *SITES):
            certified_for(stage, name, MINUTES)

    try:
        async with services(
            broker, tmp_path / "out", plan, SITES, issuer=former, prepare=prepare, late=[away]
        ) as running:
            await publish_certificates(running)
            new = rotate(office, "hearts", utc_now())
            await restarted(broker, new)
            given = renewals(running, new, registrar=True)
            assert set(await given.reissue()) == {COORDINATOR, *SITES}
            await given.close()
            present = [running.stage.keys / f"{name}.tls" for name in (COORDINATOR, *SITES[:2])]
            await until(lambda: all(len(roots_in(one)) == 2 for one in present))
            assert len(roots_in(running.stage.keys / f"{away}.tls")) == 1
            running.start_site(away)  # it believes the former root alone, and is of it
            await running.version(15)
            back = running.stage.keys / f"{away}.tls"
            await until(lambda: len(roots_in(back)) == 2)
            await restarted(broker, retire(office))
            renew_registrar(running.stage, new)
            await running.version(30)
            await check_every_version(running, SITES, 30, weighted=False)
            await check_each_update_counted_once(running, 30)
    finally:
        await asyncio.to_thread(broker.stop)


async def test_nobody_is_given_a_certificate_for_another_key_or_in_anothers_name(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    plan = authored("plain", tmp_path, sites=SITES, versions=1)
    async with services(mortal_kafka, tmp_path / "out", plan, SITES, late=SITES) as running:
        await publish_certificates(running)
        stage, (north, south, west) = running.stage, SITES
        keys = {name: SigningKey.load(stage.keys / f"{name}.sign") for name in SITES}
        other = request_for(new_tls_key(), north)
        asked = {
            north: keys[north].sign(Renewal(north, other)),  # a key that nobody has approved
            south: keys[south].sign(Renewal(north, stage.cards[north].request)),  # in another's name
            west: keys[north].sign(Renewal(west, stage.cards[west].request)),  # with another's signature
        }
        writer = Writer(running.kafka, Link(running.kafka))
        for name, signed in asked.items():
            await writer.send(topics.renewals(name), signed.to_bytes(), name.encode())
        office = renewals(running, stage.authority)
        assert await office.answer() == []
        right = keys[south].sign(Renewal(south, stage.cards[south].request))
        await writer.send(topics.renewals(south), right.to_bytes(), south.encode())
        assert await office.answer() == [south]
        assert await office.answer() == [], "it is answered once"
        async with Registrar(running.kafka, stage.registrar) as registrar:
            await registrar.revoke(south)
        await writer.send(topics.renewals(south), right.to_bytes(), south.encode())
        assert await office.answer() == []
        given = await read_to_end(running.kafka, Link(running.kafka), [topics.CERTIFICATES])
        assert {entry.key for entry in given} == {name.encode() for name in (COORDINATOR, *SITES)}
        await asyncio.gather(writer.close(), office.close())


def start(folder: Path, issuer: Authority) -> Broker:
    return Broker.start(folder, keys=BrokerKeys(*broker_keys(issuer, [HOST], utc_now())))


async def restarted(broker: Broker, issuer: Authority) -> None:
    """With keys under another authority, as an operator replaces both files and starts it again."""
    keystore, truststore = broker_keys(issuer, [HOST], utc_now())
    (broker.folder / "keystore.pem").write_bytes(keystore)
    (broker.folder / "truststore.pem").write_bytes(truststore)
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.launch)
    await asyncio.to_thread(broker.wait_ready)


def renew_registrar(stage: Stage, issuer: Authority) -> None:
    folder = stage.keys / "registrar.tls"
    public = public_of(folder)
    assert public is not None
    leaf = issuer.issue(REGISTRAR, "registrar", public, utc_now())
    install(folder, pem((leaf, *issuer.between)), pem(issuer.roots))
