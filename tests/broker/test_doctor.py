"""The doctor at a real broker: who is healthy has nothing but ok, and each planted fault is found by its name alone."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from ops.kafka import PLAINTEXT_ON_PURPOSE, Broker
from ops.kafka.ports import free_ports
from protocol.digests import digest_of
from protocol.roster_memory import FILE, Met, RosterMemory
from protocol.signing import SigningKey
from protocol.tls.files import TlsKey
from protocol.tls.requests import new_tls_key
from registry.keyfiles import make_member_keys, read_card
from registry.members import NewMember
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import certify, install_beside
from registry.pki.profiles import PROFILES
from registry.registrar import Registrar
from schemas import topics
from schemas.records import Role
from schemas.rights import Operation, Resource, Rule
from tests.broker.access import authority, broker_of_tests, start_broker
from tests.broker.conftest import delete_topics
from tests.broker.federation import Federation, federation
from tests.broker.participants import Hospital, plan
from tests.network.tls import self_signed
from transport.admin import Admin, within
from transport.dialing import ProxyChoice
from transport.rules import Rules
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link
from wardround import cli
from wardround.doctor.case import Case, Machine, Who
from wardround.doctor.finding import Finding, State
from wardround.doctor.run import all_checks, diagnose

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
GIB = 1024**3
WELL = Machine(
    synchronised=lambda: True,
    free_bytes=lambda folder: 100 * GIB,
    sync_s=lambda folder: 0.01,
    memory_bytes=lambda: 8 * GIB,
    environ={},
)
at_the_broker = pytest.mark.asyncio(loop_scope="module")


class Bench:
    """A federation, and one of its sites as a hospital has it on disk; each test has settings of its own to spoil."""

    def __init__(self, fed: Federation, broker: Broker, folder: Path) -> None:
        self.fed, self.broker, self.folder = fed, broker, folder
        self.machine, self.after = WELL, contextlib.AsyncExitStack()
        self.name = "doctor-site"

    def spoil(self, text: str, to: str) -> None:
        """Write something else into the settings."""
        said = self.config.read_text()
        assert text in said
        self.config.write_text(said.replace(text, to))

    @property
    def config(self) -> Path:
        return self.folder / "participant.toml"

    @property
    def tls(self) -> Path:
        return self.folder / f"{self.name}.tls"

    def another_certificate(self, issuer: Authority, *, begins: datetime | None = None, days: float = 90) -> None:
        key = new_tls_key()
        leaf = issuer.issue(
            PROFILES["site"], self.name, key.public_key(), begins or utc_now(), lifetime=timedelta(days=days)
        )
        self.tls.joinpath("key.pem").unlink()
        TlsKey(key, (leaf,), authority().roots).save_for_client(self.tls)

    def office(self) -> Registrar:
        return Registrar(self.fed.kafka, self.fed.registrar)

    @contextlib.asynccontextmanager
    async def rules(self) -> AsyncIterator[Callable[[Callable[[Rules], Awaitable[None]]], Awaitable[None]]]:
        admin = Admin(self.fed.kafka, link := Link(self.fed.kafka))
        try:
            yield lambda act: within(act(Rules(admin)), 10, link)
        finally:
            await admin.close()

    async def found(self) -> list[Finding]:
        return await examined(Case(Who.SITE, self.config, self.machine))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Federation, Broker]]:
    folder = tmp_path_factory.mktemp("doctor")
    broker = await asyncio.to_thread(start_broker, folder / "broker")
    async with federation(broker.bootstrap, folder / "keys", plan(), 2) as one:
        yield one, broker
    await asyncio.to_thread(broker.stop)


@pytest_asyncio.fixture(loop_scope="module")
async def bench(hall: tuple[Federation, Broker], tmp_path: Path) -> AsyncIterator[Bench]:
    """The site's keys are the same in all tests; what a test changes at the broker is mended behind it."""
    fed, broker = hall
    one = Bench(fed, broker, tmp_path)
    keys = fed.folder / "doctor"
    if not keys.exists():
        card = make_member_keys(one.name, keys)
        async with one.office() as office:
            await office.publish_members([NewMember(card, (Role.SITE,))])
            await office.publish_roster()
    for path in keys.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
            (tmp_path / path.name).chmod(path.stat().st_mode & 0o777)
    card = read_card(tmp_path / f"{one.name}.pub")
    issued = certify(authority(), card, [Role.SITE], utc_now())
    if (keys / f"{one.name}.tls" / "key.pem").exists():
        one.tls.mkdir()
        (one.tls / "key.pem").write_bytes((keys / f"{one.name}.tls" / "key.pem").read_bytes())
        (one.tls / "key.pem").chmod(0o600)
    install_beside(tmp_path / f"{one.name}.pub", issued)
    (tmp_path / "registrar.pub").write_bytes((fed.folder / "registrar.pub").read_bytes())
    (tmp_path / "patients").mkdir()
    one.config.write_text(
        f'name = "{one.name}"\ndata_dir = "data"\n[policy]\ncohort_min = 1\n'
        f'[kafka]\nbootstrap = "{broker.bootstrap}"\ntls = "{one.name}.tls"\nsecurity = "tls"\nproxy = "none"\n'
        f'[keys]\nsigning = "{one.name}.sign"\nopening = "{one.name}.open"\nregistrar = "registrar.pub"\n'
        f'[[studies]]\nplan = "{fed.plan.digest.hex()}"\ndata = "patients"\n'
    )
    async with one.after:
        yield one


def of_federation(fed: Federation) -> Case:
    key = fed.folder / "registrar.sign"
    return Case(Who.FEDERATION, machine=WELL, kafka=fed.kafka, choice=ProxyChoice(), registrar_sign=key)


async def examined(case: Case) -> list[Finding]:
    return await asyncio.to_thread(diagnose, case)


def not_ok(findings: list[Finding]) -> list[str]:
    return [f"{one.state} {one.name}: {one.seen}" for one in findings if one.state is not State.OK]


def depends(name: str, on: str) -> bool:
    """Whether a check needs another, at once or by way of others."""
    needs = all_checks()[name].needs
    return on in needs or any(depends(need, on) for need in needs)


def check_alone(findings: list[Finding], name: str, state: State = State.WRONG) -> Finding:
    """It was found, and nothing else is ill but what needs it, which is skipped."""
    ill = {one.name: one for one in findings if one.state in (State.WRONG, State.WARNING)}
    assert list(ill) == [name], not_ok(findings)
    assert ill[name].state is state
    assert ill[name].do
    skipped = [one for one in findings if one.state is State.SKIPPED]
    assert [one.name for one in skipped if not depends(one.name, name) and f"`{name}`" not in one.seen] == []
    return ill[name]


# -- who is healthy


@at_the_broker
async def test_a_healthy_site_has_nothing_but_ok(bench: Bench) -> None:
    assert not_ok(await bench.found()) == []


@at_the_broker
async def test_a_healthy_federation_has_nothing_but_ok(bench: Bench) -> None:
    assert not_ok(await examined(of_federation(bench.fed))) == []


@at_the_broker
async def test_a_healthy_coordinator_has_nothing_but_ok(bench: Bench) -> None:
    fed, path = bench.fed, bench.folder / "coordinator.toml"
    path.write_text(
        f'name = "coordinator"\ndata_dir = "coordinator"\n[kafka]\nbootstrap = "{fed.bootstrap}"\n'
        f'tls = "{fed.folder}/coordinator.tls"\n[keys]\nsigning = "{fed.folder}/coordinator.sign"\n'
        f'opening = "{fed.folder}/coordinator.open"\nregistrar = "{fed.folder}/registrar.pub"\n'
    )
    assert not_ok(await examined(Case(Who.COORDINATOR, path, WELL))) == []


@at_the_broker
async def test_nothing_is_written_anywhere_by_a_look(bench: Bench) -> None:
    before = sorted(path for path in bench.folder.rglob("*"))
    async with asyncio.timeout(60):
        entries = len(await bench.fed.read(topics.MEMBERS)), len(await bench.fed.read(topics.offers(bench.name)))
        await bench.found()
        assert entries == (
            len(await bench.fed.read(topics.MEMBERS)),
            len(await bench.fed.read(topics.offers(bench.name))),
        )
    assert sorted(path for path in bench.folder.rglob("*")) == before


@at_the_broker
async def test_the_command_tells_and_its_code_is_that_of_the_worst(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.spoil("bootstrap = ", "botstrap = ")
    words = ["doctor", "--config", str(bench.config), "--bundle", str(bench.folder / "b.tar.gz")]
    assert await asyncio.to_thread(cli.main, words) == 2
    said = capsys.readouterr().out
    assert "did you mean `bootstrap`?" in said
    assert (bench.folder / "b.tar.gz").exists()


# -- faults of a site: each is planted by a small function, and found by the name beside it


Fault = Callable[[Bench], Awaitable[None]]
FAULTS: list[tuple[str, State, Fault]] = []


def fault(name: str, state: State = State.WRONG) -> Callable[[Fault], Fault]:
    def add(plant: Fault) -> Fault:
        FAULTS.append((name, state, plant))
        return plant

    return add


@fault("name")
async def the_name_is_unknown(bench: Bench) -> None:
    bench.spoil(bench.broker.bootstrap, "nobody.invalid:9092")


@fault("reach")
async def nobody_listens(bench: Bench) -> None:
    bench.spoil(bench.broker.bootstrap, f"127.0.0.1:{free_ports(1)[0]}")


@fault("proxy")
async def the_proxy_wants_credentials(bench: Bench) -> None:
    await _proxied(bench, b"HTTP/1.1 407 Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")


@fault("proxy")
async def the_proxy_forbids(bench: Bench) -> None:
    await _proxied(bench, b"HTTP/1.1 403 Forbidden\r\n\r\n")


@fault("proxy")
async def the_proxy_is_named_wrongly(bench: Bench) -> None:
    bench.spoil('proxy = "none"', 'proxy = "socks5://proxy:1080"')


async def _proxied(bench: Bench, answer: bytes) -> None:
    """A proxy that says the same to everybody; the broker has a name that only a proxy would know."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await bench.after.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    bench.spoil(bench.broker.bootstrap, "kafka.federation.example:9093")
    bench.spoil('proxy = "none"', f'proxy = "http://127.0.0.1:{port}"')


@fault("tls")
async def something_opens_tls(bench: Bench) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(bench.folder / "inspector.pem", "127.0.0.1"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)
        writer.close()

    server = await bench.after.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    bench.spoil(bench.broker.bootstrap, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


@fault("certificate-dates")
async def the_certificate_has_run_out(bench: Bench) -> None:
    bench.another_certificate(authority(), begins=utc_now() - timedelta(days=10), days=9)


@fault("certificate-dates", State.WARNING)
async def the_certificate_has_nearly_run_out(bench: Bench) -> None:
    bench.another_certificate(authority(), days=6)


@fault("tls")
async def the_certificate_is_of_another_authority(bench: Bench) -> None:
    bench.another_certificate(Authority.new("somebody else", utc_now()))


@fault("keys")
async def a_key_is_open_to_others(bench: Bench) -> None:
    (bench.folder / f"{bench.name}.sign").chmod(0o640)


@fault("clock")
async def the_clock_is_days_behind(bench: Bench) -> None:
    bench.machine = replace(WELL, now=lambda: datetime.now(UTC) - timedelta(days=2))


@fault("clock-log")
async def the_clock_is_minutes_behind(bench: Bench) -> None:
    async with bench.office() as office:  # something new is on the log
        await office.publish_roster(restore=True)
    bench.machine = replace(WELL, now=lambda: datetime.now(UTC) - timedelta(minutes=10))


@fault("access-rules")
async def an_access_rule_is_missing(bench: Bench) -> None:
    await _taken(bench, topics.bodies(bench.name), Operation.WRITE)


@fault("study-access-rules")
async def an_access_rule_of_the_study_is_missing(bench: Bench) -> None:
    await _taken(bench, topics.models(bench.fed.study), Operation.READ)


async def _taken(bench: Bench, topic: str, operation: Operation) -> None:
    rule = Rule(bench.name, Resource.TOPIC, topic, prefix=False, operation=operation)
    async with bench.rules() as rules:
        await rules(lambda one: one.remove([rule]))
    bench.after.push_async_callback(_mend, bench)


async def _mend(bench: Bench) -> None:
    async with bench.office() as office:
        await office.rules_difference(apply=True)
        assert (await office.rules_difference()).is_none


@fault("barred")
async def the_member_is_barred(bench: Bench) -> None:
    bar = {Rule(bench.name, one, "*", prefix=False, operation=Operation.ALL, allow=False) for one in Resource}
    async with bench.rules() as rules:
        await rules(lambda one: one.add(bar))
    bench.after.push_async_callback(_mend, bench)


@fault("topics")
async def a_topic_is_missing(bench: Bench) -> None:
    await delete_topics(bench.fed.kafka, topics.bodies(bench.name))
    bench.after.push_async_callback(_make_again, bench)


async def _make_again(bench: Bench) -> None:
    async with bench.office() as office:
        await office.publish_members([NewMember(read_card(bench.folder / f"{bench.name}.pub"), (Role.SITE,))])
        await office.publish_roster()


@fault("disk-free")
async def the_disk_is_nearly_full(bench: Bench) -> None:
    bench.machine = replace(WELL, free_bytes=lambda folder: 1_000_000)


@fault("disk-speed", State.WARNING)
async def the_disk_is_slow(bench: Bench) -> None:
    bench.machine = replace(WELL, sync_s=lambda folder: 11.0)


@fault("data-folder")
async def the_data_folder_cannot_be_written(bench: Bench) -> None:
    if os.geteuid():
        (bench.folder / "data").mkdir(mode=0o500)
    else:  # whom no mode keeps out: but nobody makes a folder there
        bench.spoil('data_dir = "data"', 'data_dir = "/proc/wardround"')


@fault("memory")
async def there_is_too_little_memory(bench: Bench) -> None:
    bench.machine = replace(WELL, memory_bytes=lambda: 100_000_000)


@fault("roster")
async def the_site_is_not_on_the_roster(bench: Bench) -> None:
    card = make_member_keys("late-site", bench.folder)
    async with bench.office() as office:  # and no roster
        await office.publish_members([NewMember(card, (Role.SITE,))])
    install_beside(bench.folder / "late-site.pub", certify(authority(), card, [Role.SITE], utc_now()))
    bench.spoil(bench.name, "late-site")


@fault("roster")
async def the_site_has_other_keys(bench: Bench) -> None:
    SigningKey.generate().save(bench.folder / "other.sign")
    bench.spoil(f"{bench.name}.sign", "other.sign")


@fault("registrar")
async def another_registrar_is_pinned(bench: Bench) -> None:
    (bench.folder / "registrar.pub").write_bytes(SigningKey.generate().public)


@fault("log-age")
async def the_log_is_older_than_what_was_met(bench: Bench) -> None:
    (bench.folder / "data").mkdir()
    memory = RosterMemory(bench.folder / "data" / FILE, bench.fed.registrar.public)
    memory.meet(Met(10_000, digest_of([b"x"])))


@fault("plans")
async def the_plan_is_not_on_the_log(bench: Bench) -> None:
    bench.spoil(bench.fed.plan.digest.hex(), "ab" * 32)


@fault("policy")
async def the_policy_refuses_the_plan(bench: Bench) -> None:
    bench.spoil("cohort_min = 1", "cohort_min = 100")


@fault("policy", State.WARNING)
async def the_policy_keeps_the_metric_here(bench: Bench) -> None:
    bench.spoil("cohort_min = 1", "share_evaluations = false")


@fault("task")
async def the_task_is_not_there(bench: Bench) -> None:
    bench.spoil('data = "patients"', 'data = "patients"\ntask = "nowhere.at_all:task"')


@fault("task")
async def the_data_cannot_be_loaded(bench: Bench) -> None:
    (bench.folder / "patients" / "broken").touch()


@fault("settings-file")
async def a_key_of_the_settings_is_misspelt(bench: Bench) -> None:
    bench.spoil("bootstrap = ", "botstrap = ")


@fault("settings-file", State.WARNING)
async def a_variable_is_misspelt(bench: Bench) -> None:
    bench.machine = replace(WELL, environ={"WARDROUND_KAFKA_BOTSTRAP": "x:1"})


@at_the_broker
@pytest.mark.parametrize(("name", "state", "plant"), [pytest.param(*one, id=one[2].__name__) for one in FAULTS])
async def test_a_planted_fault_is_found_by_its_name_and_nothing_else(
    bench: Bench, name: str, state: State, plant: Fault
) -> None:
    await plant(bench)
    check_alone(await bench.found(), name, state)
    await bench.after.aclose()


# -- faults that only the registrar sees, and those of whole brokers


@at_the_broker
async def test_a_topics_setting_that_differs_is_found(bench: Bench) -> None:
    admin = Admin(bench.fed.kafka, link := Link(bench.fed.kafka))
    topic = topics.bodies(bench.name)
    try:
        await within(admin.change(topic, {"max.message.bytes": "1000000"}), 10, link)
        found = check_alone(await examined(of_federation(bench.fed)), "topic-settings")
        assert f"{topic}: max.message.bytes is 1000000" in found.seen
    finally:
        await within(admin.change(topic, {"max.message.bytes": str(topics.BATCH_BYTES_MAX)}), 10, link)
        await admin.close()


@at_the_broker
async def test_rules_that_are_not_those_of_the_table_are_found(bench: Bench) -> None:
    await _taken(bench, topics.bodies(bench.name), Operation.WRITE)
    found = check_alone(await examined(of_federation(bench.fed)), "access-table")
    assert f"{bench.name} may write topic {topics.bodies(bench.name)}" in found.seen


async def other_broker(folder: Path, change: Callable[[str], str], *, secured: bool = True) -> Broker:
    """A broker whose server.properties was changed by hand."""
    keys = broker_of_tests() if secured else PLAINTEXT_ON_PURPOSE
    broker = await asyncio.to_thread(lambda: Broker.start(folder / "broker", keys=keys))
    await asyncio.to_thread(broker.stop)
    properties = folder / "broker" / "server.properties"
    properties.write_text(change(properties.read_text()))
    await asyncio.to_thread(broker.launch)
    await asyncio.to_thread(broker.wait_ready)
    return broker


@at_the_broker
async def test_a_brokers_wrong_setting_is_found(tmp_path: Path) -> None:
    broker = await other_broker(tmp_path, lambda text: text.replace("enable=false\n", "enable=true\n", 1))
    try:
        async with federation(broker.bootstrap, tmp_path / "keys", plan(), 1) as fed:
            found = check_alone(await examined(of_federation(fed)), "broker-settings")
            assert "auto.create.topics.enable=true" in found.seen
    finally:
        await asyncio.to_thread(broker.stop)


@at_the_broker
async def test_brokers_that_check_nobodys_rights_are_found_by_sites_and_the_registrar(tmp_path: Path) -> None:
    def without(text: str) -> str:
        return "".join(line for line in text.splitlines(True) if not line.startswith("authorizer.class.name"))

    broker = await other_broker(tmp_path, lambda text: text)
    try:
        async with federation(broker.bootstrap, tmp_path / "keys", plan(), 1) as fed:
            await asyncio.to_thread(broker.stop)
            properties = tmp_path / "broker" / "server.properties"
            properties.write_text(without(properties.read_text()))
            await asyncio.to_thread(broker.launch)
            await asyncio.to_thread(broker.wait_ready)
            at = Hospital(fed, next(iter(fed.sites)))
            check_alone(await examined(Case(Who.SITE, at.config, WELL)), "authorizer")
            check_alone(await examined(of_federation(fed)), "authorizer")
    finally:
        await asyncio.to_thread(broker.stop)


@at_the_broker
async def test_plaintext_on_purpose_is_a_warning_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    broker = await other_broker(tmp_path / "plain", lambda text: text, secured=False)
    try:
        kafka = KafkaSettings(broker.bootstrap, "office", security=PLAINTEXT, fetch_wait_ms=50)
        fed = bench.fed
        coordinator = make_member_keys("lead", bench.folder)
        async with Registrar(kafka, fed.registrar) as office:
            card = read_card(bench.folder / f"{bench.name}.pub")
            await office.publish_members([NewMember(card, (Role.SITE,)), NewMember(coordinator, (Role.COORDINATOR,))])
            await office.publish_roster()
            await office.create_study(fed.plan, bytes(4 * fed.plan.parameters))
        bench.spoil(bench.broker.bootstrap, broker.bootstrap)
        bench.spoil('security = "tls"', 'security = "plaintext-on-purpose"')
        check_alone(await bench.found(), "encryption", State.WARNING)
    finally:
        await asyncio.to_thread(broker.stop)
