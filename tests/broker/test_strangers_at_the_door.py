"""Who gets nowhere at a real broker, what tells of it, and that everybody else goes on."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ops.kafka import Broker
from protocol.signing import SigningKey
from protocol.tls.files import TlsKey, public_of
from protocol.tls.requests import new_tls_key
from registry.keyfiles import make_member_keys
from registry.members import NewMember
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import certify, install_beside
from registry.pki.profiles import PROFILES
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import LocalError, TransientError
from schemas.records import Role
from schemas.rights import Operation, Resource, Rule
from tests.broker.access import authority, reach, start_broker
from transport.admin import Admin, within
from transport.rules import Quota, Rules
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link
from transport.staying.why_refused import tls_trouble
from transport.tls import context_of
from transport.writing.writer import Writer

pytestmark = pytest.mark.broker
NAMES = {"lead": Role.COORDINATOR, "north": Role.SITE, "south": Role.SITE}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["Hall"]:
    folder = tmp_path_factory.mktemp("hall")
    broker = await asyncio.to_thread(start_broker, folder / "broker")
    one = Hall(broker, folder / "keys")
    await one.open()
    yield one
    await asyncio.to_thread(broker.stop)


class Hall:
    """A broker with three members, each of which has its own certificate."""

    def __init__(self, broker: Broker, keys: Path) -> None:
        self.broker, self.keys = broker, keys
        self.registrar = SigningKey.generate()

    async def open(self) -> None:
        cards = {name: make_member_keys(name, self.keys) for name in NAMES}
        async with self.office() as office:
            await office.publish_members([NewMember(card, (NAMES[name],)) for name, card in cards.items()])
            await office.publish_roster()
        for name, card in cards.items():
            install_beside(self.keys / f"{name}.pub", certify(authority(), card, [NAMES[name]], utc_now()))

    def office(self) -> Registrar:
        return Registrar(reach(self.broker.bootstrap, "office"), self.registrar)

    def as_member(self, name: str) -> KafkaSettings:
        return KafkaSettings(self.broker.bootstrap, name, tls=self.keys / f"{name}.tls", fetch_wait_ms=50)

    def as_stranger(self, folder: Path) -> KafkaSettings:
        return KafkaSettings(self.broker.bootstrap, "stranger", tls=folder)


async def told(settings: KafkaSettings) -> str:
    """What a command says that cannot get on."""
    link = Link(settings)
    admin = Admin(settings, link)
    try:
        with pytest.raises(TransientError) as caught:
            await within(admin.existing(["x"]), 8, link)
    finally:
        await admin.close()
    return str(caught.value)


def stranger(folder: Path, issuer: Authority, name: str, *, roots: Authority | None = None, **how: Any) -> Path:
    """Keys for TLS that somebody else than our authority may have made."""
    key = new_tls_key()
    leaf = issuer.issue(PROFILES["site"], name, key.public_key(), utc_now(), **how)
    TlsKey(key, (leaf,), (roots or authority()).roots).save_for_client(folder)
    return folder


@pytest.mark.asyncio(loop_scope="module")
async def test_a_certificate_of_another_authority_is_refused_and_says_so(hall: Hall, tmp_path: Path) -> None:
    other = Authority.new("somebody else", utc_now())
    said = await told(hall.as_stranger(stranger(tmp_path / "tls", other, "north")))
    assert "our certificate" in said
    assert hall.broker.bootstrap in said


@pytest.mark.asyncio(loop_scope="module")
async def test_a_self_made_certificate_is_refused(hall: Hall, tmp_path: Path) -> None:
    own = Authority.new("north", utc_now())
    key = new_tls_key()
    leaf = own.issue(PROFILES["site"], "registrar-1", key.public_key(), utc_now())
    TlsKey(key, (leaf, own.certificate), authority().roots).save_for_client(tmp_path / "tls")
    assert "our certificate" in await told(hall.as_stranger(tmp_path / "tls"))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_certificate_that_has_run_out_is_refused_here_and_there(hall: Hall, tmp_path: Path) -> None:
    folder = stranger(tmp_path / "tls", authority(), "north", lifetime=timedelta(seconds=2))
    context = context_of(folder)
    await asyncio.sleep(2.5)
    host, _, port = hall.broker.bootstrap.rpartition(":")
    trouble = await tls_trouble(host, int(port), context)
    assert trouble is not None
    assert "our certificate has run out" in str(trouble) or "does not take our certificate" in str(trouble)
    (folder / "cert.pem").touch()
    with pytest.raises(LocalError, match="is valid from"):
        context_of(folder)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_certificate_is_refused(hall: Hall) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(hall.keys / "north.tls" / "ca.pem")
    host, _, port = hall.broker.bootstrap.rpartition(":")
    trouble = await tls_trouble(host, int(port), context)
    assert trouble is not None
    assert "it wants a certificate, and none was shown" in str(trouble)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_comes_without_tls_is_told_what_is_spoken(hall: Hall) -> None:
    said = await told(KafkaSettings(hall.broker.bootstrap, "plain", security=PLAINTEXT))
    assert "speaks TLS" in said


@pytest.mark.asyncio(loop_scope="module")
async def test_a_broker_that_is_not_ours_is_not_spoken_to(hall: Hall, tmp_path: Path) -> None:
    other = Authority.new("somebody else", utc_now())
    folder = stranger(tmp_path / "tls", authority(), "north", roots=other)
    said = await told(hall.as_stranger(folder))
    assert "not of this federation but issued by CN=tests root" in said
    assert "ask for an exception for" in said


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("topic", [topics.offers("south"), topics.bodies("south"), topics.MEMBERS, topics.PLANS])
async def test_a_site_writes_to_no_topic_but_its_own(hall: Hall, topic: str) -> None:
    producer = await producing(hall.as_member("north"))
    try:
        with pytest.raises(errors.TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"x")
        await producer.send_and_wait(topics.offers("north"), b"x")
    finally:
        await producer.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("topic", [topics.offers("south"), topics.bodies("south"), topics.LEAD])
async def test_a_site_reads_no_topic_of_others(hall: Hall, topic: str) -> None:
    consumer = AIOKafkaConsumer(**hall.as_member("north").how)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        with pytest.raises((errors.TopicAuthorizationFailedError, TimeoutError)):
            await soon(consumer.getone())
    finally:
        await consumer.stop()
    admin = Admin(hall.as_member("north"), link := Link(hall.as_member("north")))
    try:
        assert await within(admin.forbidden([topic]), 10, link) == {topic}
    finally:
        await admin.close()


async def _makes_a_topic(client: AIOKafkaAdminClient) -> list[int]:
    answer = await client.create_topics([NewTopic(topics.offers("west"), 1, 1)])
    return [code for _, code, *_ in answer.topic_errors]


async def _alters_a_configuration(client: AIOKafkaAdminClient) -> list[int]:
    own = ConfigResource(ConfigResourceType.TOPIC, topics.offers("north"), {"retention.ms": "1"})
    return [code for answer in await client.alter_configs([own]) for code, *_ in answer.resources]


async def _deletes_a_topic(client: AIOKafkaAdminClient) -> list[int]:
    return [code for _, code in (await client.delete_topics([topics.offers("north")])).topic_error_codes]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("act", [_makes_a_topic, _alters_a_configuration, _deletes_a_topic])
async def test_a_site_changes_nothing_at_the_broker(
    hall: Hall, act: Callable[[AIOKafkaAdminClient], Awaitable[list[int]]]
) -> None:
    client = AIOKafkaAdminClient(**hall.as_member("north").how)
    await client.start()
    try:
        codes = await act(client)
    finally:
        await client.close()
    refused = {errors.ClusterAuthorizationFailedError.errno, errors.TopicAuthorizationFailedError.errno}
    assert codes
    assert set(codes) <= refused


@pytest.mark.asyncio(loop_scope="module")
async def test_a_site_gets_no_transactional_id_and_no_place_in_the_election(hall: Hall) -> None:
    producer = AIOKafkaProducer(**hall.as_member("north").how, transactional_id=topics.lead_id(0))
    with pytest.raises(errors.TransactionalIdAuthorizationFailed):
        await soon(producer.start())
    await producer.stop()
    member = AIOKafkaConsumer(topics.MEMBERS, **hall.as_member("north").how, group_id="lead")
    with pytest.raises(errors.GroupAuthorizationFailedError):
        await soon(member.start())
    await member.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revoked_member_is_cut_off_on_its_open_connection_and_the_others_go_on(
    hall: Hall,
) -> None:
    card = make_member_keys("west", hall.keys)
    async with hall.office() as office:
        await office.publish_members([NewMember(card, (Role.SITE,))])
        install_beside(hall.keys / "west.pub", certify(authority(), card, [Role.SITE], utc_now()))
        west, south = await producing(hall.as_member("west")), await producing(hall.as_member("south"))
        try:
            await west.send_and_wait(topics.offers("west"), b"still in")
            await office.revoke("west")
            with pytest.raises(errors.TopicAuthorizationFailedError):
                await west.send_and_wait(topics.offers("west"), b"out")
            await south.send_and_wait(topics.offers("south"), b"still here")
        finally:
            await west.stop()
            await south.stop()
        assert (await office.rules_difference()).is_none


@pytest.mark.asyncio(loop_scope="module")
async def test_a_member_that_comes_back_with_new_keys_is_let_in_again(hall: Hall, tmp_path: Path) -> None:
    old, new = make_member_keys("east", hall.keys), make_member_keys("east", tmp_path)
    async with hall.office() as office:
        await office.publish_members([NewMember(old, (Role.SITE,))])
        await office.revoke("east")
        await office.publish_members([NewMember(new, (Role.SITE,))])
        await office.publish_roster()
    install_beside(tmp_path / "east.pub", certify(authority(), new, [Role.SITE], utc_now()))
    assert public_of(tmp_path / "east.tls") is not None
    producer = await producing(KafkaSettings(hall.broker.bootstrap, "east", tls=tmp_path / "east.tls"))
    await producer.send_and_wait(topics.offers("east"), b"back")
    await producer.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_what_somebody_changed_in_the_rules_is_found_and_mended(hall: Hall) -> None:
    settings = reach(hall.broker.bootstrap, "hand")
    admin = Admin(settings, link := Link(settings))
    rules = Rules(admin)
    taken = Rule("north", Resource.TOPIC, topics.offers("north"), prefix=False, operation=Operation.WRITE)
    given = Rule("north", Resource.TOPIC, "wardround.", prefix=True, operation=Operation.READ)
    foreign = Rule("backup", Resource.TOPIC, "wardround.", prefix=True, operation=Operation.READ)
    try:
        await within(rules.remove([taken]), 10, link)
        await within(rules.add([given, foreign]), 10, link)
        async with hall.office() as office:
            found = await office.rules_difference()
            assert (found.missing, set(found.beyond)) == ((taken,), {given, foreign})
            await office.rules_difference(apply=True)
            left = await office.rules_difference()
            assert (left.missing, left.beyond) == ((), (foreign,))
        await within(rules.remove([foreign]), 10, link)
    finally:
        await admin.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_sites_have_quotas_and_one_that_floods_is_slowed_down_alone(hall: Hall) -> None:
    settings = reach(hall.broker.bootstrap, "hand")
    admin = Admin(settings, link := Link(settings))
    rules = Rules(admin)
    try:
        assert {"north", "south"} <= (await within(rules.quotas(), 10, link)).keys()
        await within(rules.set_quotas({"north": Quota(100_000, 100_000, 100)}), 10, link)
        waits = await asyncio.gather(_flood(hall.as_member("north")), _flood(hall.as_member("south")))
        assert waits[0] > 0
        assert waits[1] == 0
    finally:
        await admin.close()


async def _flood(settings: KafkaSettings) -> float:
    """Write 1.4 MB in records of 100 kB; how long the broker asked to wait meanwhile, in seconds."""
    link, waits = Link(settings), list[float]()
    link.on_throttle(lambda kind, wait_s: waits.append(wait_s))
    writer = Writer(settings, link)
    await writer.start()
    try:
        for _ in range(14):
            await writer.send(topics.bodies(settings.client_id), bytes(100_000))
    finally:
        await writer.close()
    return sum(waits)


async def soon(awaitable: Awaitable[object]) -> None:
    """Raises TimeoutError where nothing came of it in 5 s."""
    async with asyncio.timeout(5):
        await awaitable


async def producing(settings: KafkaSettings) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(**settings.how, enable_idempotence=True)
    await producer.start()
    return producer


@pytest.mark.asyncio(loop_scope="module")
async def test_a_hospitals_own_authority_speaks_for_its_site_and_for_nobody_else(hall: Hall, tmp_path: Path) -> None:
    hospital = Authority.new("Clinic of the North PKI", utc_now())
    cross = authority().vouch_for(hospital.certificate, "north", utc_now())

    def shown_as(name: str, issuer: str = "site") -> KafkaSettings:
        key = new_tls_key()
        leaf = hospital.issue(PROFILES[issuer], name, key.public_key(), utc_now())
        TlsKey(key, (leaf, cross), authority().roots).save_for_client(tmp_path / name)
        return hall.as_stranger(tmp_path / name)

    producer = await producing(shown_as("north"))
    await producer.send_and_wait(topics.offers("north"), b"by our own PKI")
    await producer.stop()
    for name, issuer in (("south", "site"), ("registrar", "registrar")):
        said = await told(shown_as(name, issuer))
        assert "our certificate" in said, said
