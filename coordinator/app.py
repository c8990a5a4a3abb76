"""The coordinator as one process: connects, follows the registrar's directory, runs every published study."""

import asyncio
from pathlib import Path

import structlog

from coordinator.settings import Settings
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Services, closing
from coordinator.shell.study import StudyRunner
from protocol.directory import Directory
from protocol.key_files import read_registrar_key
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from runtime import metrics_port
from runtime.lock import FolderLock
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import PlanRecord, Role
from transport.admin import Admin
from transport.bodies import BodyReader, BodyWriter
from transport.errors import BodyGone
from transport.link import Link
from transport.log import EARLIEST, Entry, LogReader
from transport.settings import KafkaSettings, batch_bytes
from transport.transactions import TransactionalWriter
from transport.writer import Writer

# All studies fall to partition 0 of `wardround.lead` while one coordinator leads them all.
TRY_AGAIN_S = 30.0
TRANSACTIONAL_ID = f"{topics.LEAD}.0"

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until cancelled. Raises LocalError when the settings, keys or data folder are unusable."""
    with FolderLock(settings.data_dir):
        services = _services(settings)
        metrics_port.serve(services.metrics.registry, settings.metrics.host, settings.metrics.port)
        log.info("coordinator starts", name=settings.name, broker=settings.kafka.bootstrap)
        async with closing(services):
            await services.writer.start()
            await services.transactions.start()
            await _Coordinator(services, settings).run()


def _services(settings: Settings) -> Services:
    kafka = KafkaSettings(
        settings.kafka.bootstrap,
        settings.name,
        fetch_wait_ms=settings.kafka.fetch_wait_ms,
        batch_bytes=batch_bytes(chunks=2),
    )
    link = Link(kafka)
    metrics = CoordinatorMetrics()
    link.on_change(lambda connected: metrics.connected.set(connected))
    writer = Writer(kafka, link)
    return Services(
        name=settings.name,
        folder=_models_folder(settings.data_dir),
        kafka=kafka,
        link=link,
        signing=SigningKey.load(settings.keys.signing),
        opening=OpenKey.load(settings.keys.opening),
        directory=Directory(read_registrar_key(settings.keys.registrar)),
        writer=writer,
        bodies=BodyWriter(kafka, link, writer),
        reader=BodyReader(kafka, link),
        transactions=TransactionalWriter(kafka, link, TRANSACTIONAL_ID),
        admin=Admin(kafka, link),
        metrics=metrics,
    )


def _models_folder(data_dir: Path) -> Path:
    folder = data_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Coordinator:
    """Follows members and plans; a runner for each study."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services = services
        self._settings = settings
        self._runners: dict[str, StudyRunner] = {}
        self._running: set[str] = set()
        self._waits = False
        self._seen_roster = b""

    async def run(self) -> None:
        services = self._services
        reader = LogReader(services.kafka, services.link, committed=False)
        try:
            await reader.assign({topics.MEMBERS: EARLIEST, topics.PLANS: EARLIEST})
            async with asyncio.TaskGroup() as tasks:
                ends = await reader.ends()
                complete = False
                while True:
                    for entry in await reader.batch(wait_ms=50 if not complete else 1000):
                        self._feed(entry)
                    complete = complete or await reader.reached(ends)
                    if complete:
                        await self._follow(tasks)
        finally:
            await reader.close()

    def _feed(self, entry: Entry) -> None:
        try:
            self._services.directory.feed(entry.topic, entry.key, entry.value)
        except PeerError as error:
            log.warning("directory record refused", topic=entry.topic, offset=entry.offset, reason=str(error))

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        membership = self._services.directory.membership
        if membership is None:
            if not self._waits:
                log.info("waiting for the registrar's roster")
            self._waits = True
            return
        if membership.digest != self._seen_roster:
            self._check_own_place()
            self._seen_roster = membership.digest
            for runner in self._runners.values():
                await runner.membership_changed()
        for plan, record in list(self._services.directory.plans.values()):
            wanted = not self._settings.studies or plan.study in self._settings.studies
            if wanted and plan.study not in self._running:
                self._running.add(plan.study)
                tasks.create_task(self._run(plan, record), name=f"study {plan.study}")

    def _check_own_place(self) -> None:
        """Raises LocalError when the roster does not know this coordinator under the keys it holds."""
        services = self._services
        membership = services.membership
        hint = "let the registrar publish this coordinator's keys, or name the right key files"
        try:
            membership.signing_key(services.name, services.signing.key_id)
            opening = membership.opening_key(services.name)
        except PeerError as error:
            raise LocalError(f"the roster does not know this coordinator: {error}", hint=hint) from None
        if services.name not in membership.with_role(Role.COORDINATOR) or opening.key_id != services.opening.key_id:
            raise LocalError(f"the roster knows {services.name} with another role or opening key", hint=hint)

    async def _run(self, plan: Plan, record: PlanRecord) -> None:
        """One study for ever: this machine's trouble is tried again, a log that cannot be trusted stops it alone."""
        while True:
            runner = self._runners[plan.study] = StudyRunner(self._services, plan, record)
            try:
                await runner.run()
            except (LocalError, BodyGone) as error:
                log.error("study interrupted", study=plan.study, reason=str(error), again_in_s=TRY_AGAIN_S)
            except PeerError as error:
                log.error("study stopped: its log cannot be trusted", study=plan.study, reason=str(error))
                del self._runners[plan.study]
                return
            await asyncio.sleep(TRY_AGAIN_S)
