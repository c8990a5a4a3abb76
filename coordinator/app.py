"""The coordinator as one process: connects, takes part in the election, runs the published studies that fall to it."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import structlog

from coordinator.settings import Settings
from coordinator.shell.leading import Leading
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Services, closing
from coordinator.shell.strangers import Strangers
from protocol.directory import ANOTHERS_HINT, Directory
from protocol.key_files import read_registrar_key
from protocol.rings import OpenRing, SignRing
from protocol.roster_memory import FILE, RosterMemory
from runtime import metrics_port
from runtime.hold import watch_loop
from runtime.lock import FolderLock
from runtime.logs import tell_security, tell_strange
from runtime.settings import strange_variables
from runtime.stderr import STDERR
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import PlanRecord, Role
from transport.admin import Admin
from transport.bodies import BodyReader, BodyWriter
from transport.connection import Connection
from transport.reading.log import EARLIEST, Entry
from transport.settings import KafkaSettings, batch_bytes
from transport.staying.certificate import CertificateKeeper, Holder, registrar_of
from transport.staying.link import Link
from transport.staying.quiet import on_produce_error
from transport.writing.election import Election
from transport.writing.writer import Writer

LOOK_S = 1.0

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until cancelled. Raises LocalError when the settings, keys or data folder are unusable."""
    with FolderLock(settings.data_dir):
        connection = _connection(settings)
        services = _services(settings, connection)
        metrics_port.serve(services.metrics.registry, settings.metrics.host, settings.metrics.port)
        tell_strange(strange_variables(Settings, os.environ))
        log.info("coordinator starts", name=settings.name, broker=settings.kafka.bootstrap)
        tell_security(settings.kafka.security, settings.kafka.bootstrap)
        _ = connection.settings.context  # what is wrong with the keys for TLS is said before anything is begun
        async with closing(services):
            await services.writer.start()
            await _Coordinator(services, connection, settings).run()


def tell_unpublished(wanted: Iterable[str], published: Iterable[tuple[Plan, PlanRecord]]) -> None:
    """Say which studies the settings name and no plan on the log is of: perhaps one is misspelt."""
    known = {plan.study for plan, _ in published}
    for study in sorted(set(wanted) - known):
        log.warning("a study in `studies` is not published, waiting for it", study=study, published=sorted(known))


def _connection(settings: Settings) -> Connection:
    kafka = KafkaSettings(
        settings.kafka.bootstrap,
        settings.name,
        security=settings.kafka.security,
        tls=settings.kafka.tls,
        fetch_wait_ms=settings.kafka.fetch_wait_ms,
        batch_bytes=batch_bytes(chunks=2),
    )
    return Connection(kafka, Link(kafka))


def _services(settings: Settings, connection: Connection) -> Services:
    kafka, link = connection.settings, connection.link
    metrics = CoordinatorMetrics()
    link.on_change(lambda connected: metrics.connected.set(connected))
    on_produce_error(lambda name: metrics.broker_errors.labels(name).inc())
    link.on_rebuild(lambda kind: metrics.rebuilds.labels(kind).inc())
    link.on_trouble(lambda trouble: metrics.troubles.labels(trouble.kind).inc())
    STDERR.on_lost(lambda lines: metrics.log_lines_lost.inc(lines))
    link.on_throttle(lambda kind, wait_s: metrics.throttled_s.labels(kind).inc(wait_s))
    writer = Writer(kafka, link)
    return Services(
        name=settings.name,
        folder=_models_folder(settings.data_dir),
        connection=connection,
        link=link,
        signing=SignRing.load(settings.keys.signing),
        opening=OpenRing.load(settings.keys.opening),
        directory=_directory(settings),
        writer=writer,
        bodies=BodyWriter(kafka, link, writer),
        reader=BodyReader(kafka, link),
        admin=Admin(kafka, link),
        metrics=metrics,
        strangers=Strangers(metrics),
    )


def _directory(settings: Settings) -> Directory:
    """What the registrar says, and nothing older than what it said before."""
    registrar = read_registrar_key(settings.keys.registrar)

    def lost(error: OSError) -> None:
        log.error("the newest roster cannot be remembered", folder=str(settings.data_dir), reason=error.strerror)

    return Directory(registrar, RosterMemory(settings.data_dir / FILE, registrar, lost))


def _models_folder(data_dir: Path) -> Path:
    folder = data_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Coordinator:
    """Follows members and plans, and the election; leads what falls to it."""

    def __init__(self, services: Services, connection: Connection, settings: Settings) -> None:
        self._services, self._connection = services, connection
        self._settings = settings
        lead = settings.lead
        self._election = Election(
            connection.settings,
            connection.link,
            busy=lambda: self._leading.busy(self._election.partitions),
            session_ms=lead.session_timeout_ms,
            heartbeat_ms=lead.heartbeat_ms,
        )
        self._leading = Leading(services, self._election.confirmed)
        self._waits = False
        self._seen_roster = b""
        self._behind = ""  # as it was said
        self._given: frozenset[int] = frozenset()  # by the election
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled; at the end group, studies and directory are given up side by side, then their clients."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_directory(), name="directory")
            tasks.create_task(self._election.run(self._hold), name="election")
            tasks.create_task(self._lead(), name="lead")
            tasks.create_task(watch_loop(self._services.metrics.held), name="hold")
            if self._connection.settings.context is not None:
                tasks.create_task(self._keeper().run(), name="certificate")

    def _keeper(self) -> CertificateKeeper:
        services, kafka = self._services, self._connection.settings
        assert kafka.tls is not None
        registrar = registrar_of(lambda: services.directory.keys.newest)
        holder = Holder(self._settings.name, kafka.tls, lambda: services.signer, registrar)
        days_left = services.metrics.certificate_days_left.set
        return CertificateKeeper(holder, kafka, self._connection.link, services.writer, on_days_left=days_left)

    async def _hold(self, held: frozenset[int]) -> None:
        log.info("lead partitions", held=sorted(held), of=self._election.partitions)
        self._given = held
        await self._lead_what_is_given()

    async def _lead_what_is_given(self) -> None:
        """Nothing, where nobody can tell any more who the registrar is."""
        async with self._turn:
            forked = self._services.directory.keys.forked
            await self._leading.hold(frozenset() if forked else self._given, self._election.partitions)

    async def _lead(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self._leading.check()
                self._services.metrics.heartbeat_age_s.set(self._election.silent_s)
        finally:
            await self._leading.close()

    async def _follow_directory(self) -> None:
        reader = self._connection.reader(committed=False)
        try:
            await reader.assign({topics.MEMBERS: EARLIEST, topics.PLANS: EARLIEST})
            ends = await reader.ends()
            complete = False
            while True:
                for entry in await reader.batch(wait_ms=50 if not complete else 1000):
                    self._feed(entry)
                if not complete and await reader.reached(ends):
                    complete = True
                    tell_unpublished(self._settings.studies, self._services.directory.plans.values())
                if complete:
                    await self._follow()
        finally:
            await reader.close()

    def _feed(self, entry: Entry) -> None:
        try:
            self._services.directory.feed(entry.topic, entry.key, entry.value)
        except PeerError as error:
            self._services.strangers.refused(entry, error)

    async def _follow(self) -> None:
        directory = self._services.directory
        membership = directory.membership
        if directory.keys.forked:
            self._say_behind(directory.behind)
            await self._lead_what_is_given()
            return
        if membership is None:
            if directory.behind:
                self._say_behind(directory.behind)
            elif not self._waits and directory.is_anothers:
                log.error(
                    "nothing on the log is by the registrar that is pinned here",
                    registrar=directory.registrar_id,
                    hint=ANOTHERS_HINT,
                )
            elif not self._waits:
                log.info("waiting for the registrar's roster")
            self._waits = True
            return
        if membership.digest != self._seen_roster:
            self._check_own_place()
            self._seen_roster = membership.digest
            self._leading.membership_changed()
        for plan, record in list(self._services.directory.plans.values()):
            if not self._settings.studies or plan.study in self._settings.studies:
                self._leading.add(plan, record)

    def _say_behind(self, behind: str) -> None:
        """Nothing is led by an older roster, nor by a registrar of two minds: it holds until that is mended."""
        directory = self._services.directory
        if behind != self._behind:
            what = "names two registrars" if directory.keys.forked else "is older than what was met here before"
            log.error(f"held: the log {what}", reason=behind, hint=directory.to_do)
        self._behind = behind

    def _check_own_place(self) -> None:
        """Raises LocalError when the roster does not know this coordinator under the keys it holds."""
        services = self._services
        membership = services.membership
        hint = (
            "if its keys were rotated, start it again with the new ones, the former ones beside them; else let the "
            "registrar publish this coordinator's keys, or name the right key files"
        )
        try:
            membership.signing_key(services.name, services.signer.key_id)
            opening = membership.opening_key(services.name)
        except PeerError as error:
            raise LocalError(f"the roster does not know this coordinator: {error}", hint=hint) from None
        if services.name not in membership.with_role(Role.COORDINATOR) or services.opening.key(opening.key_id) is None:
            raise LocalError(f"the roster knows {services.name} with another role or opening key", hint=hint)
