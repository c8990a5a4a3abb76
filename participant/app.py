"""The participant as one process: opens keys, site.db, connections and trainer, then follows the log."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from learning.places import place_of
from participant.core.approvals import Approvals
from participant.core.space import OutboxSpace
from participant.settings import Settings
from participant.shell.database import hint_of, in_words, is_damage
from participant.shell.desk import Desk
from participant.shell.gate import Gate
from participant.shell.metrics import ParticipantMetrics
from participant.shell.presence import PresenceTeller
from participant.shell.services import Services
from participant.shell.site import Site
from participant.shell.store import Store
from participant.shell.strangers import Strangers
from participant.training.client import Trainer
from participant.training.launch import Launcher
from participant.training.output import TaskOutput
from protocol.directory import Directory
from protocol.key_files import read_registrar_key
from protocol.rings import OpenRing, SignRing
from protocol.roster_memory import FILE, RosterMemory
from runtime import metrics_port
from runtime.disk import said, to_do
from runtime.lock import FolderLock
from runtime.logs import tell_security, tell_strange
from runtime.service import first_error
from runtime.settings import strange_variables
from runtime.stderr import STDERR
from schemas.errors import FederationError, LocalError
from transport.bodies import BodyReader, BodyWriter
from transport.reading.log import LogReader
from transport.settings import KafkaSettings
from transport.staying.certificate import CertificateKeeper, Holder, registrar_of
from transport.staying.link import Link
from transport.staying.quiet import on_produce_error
from transport.writing.writer import Writer

SOFTWARE = f"wardround {version('wardround')}"  # what Presence tells
THREADS_MAX = 2
FLUSH_S = 5.0
CLOSE_S = 4.0  # with the tasks' own ends well below the 10 s that a service has

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until cancelled, or until the operator's leave is done.

    Raises LocalError when settings, keys, data folder, task or data are unusable.
    """
    threads = ThreadPoolExecutor(THREADS_MAX, "participant")
    asyncio.get_running_loop().set_default_executor(threads)
    lock = FolderLock(settings.data_dir)
    _make_folders(settings.data_dir)
    kafka = _kafka(settings)
    _ = kafka.context  # what is wrong with the keys for TLS is said before anything is begun
    link = Link(kafka)
    writer, bodies, reader = Writer(kafka, link), BodyReader(kafka, link), LogReader(kafka, link)
    store = Store(settings.data_dir, settings.name)
    try:
        async with _Tasks() as tasks:
            services = _services(settings, BodyWriter(kafka, link, writer), bodies, store, link, writer, tasks)
            metrics_port.serve(services.metrics.registry, settings.metrics.host, settings.metrics.port)
            tell_strange(strange_variables(Settings, os.environ))
            log.info("participant starts", name=settings.name, broker=settings.kafka.bootstrap)
            tell_security(settings.kafka.security, settings.kafka.bootstrap)
            if kafka.context is not None:
                services.spawn(_keeper(settings, kafka, services).run())
            await _run(settings, services, reader)
    except sqlite3.Error as error:
        raise LocalError(in_words(error, store.path), hint=hint_of(error)) from None
    finally:
        await _bounded(asyncio.gather(reader.close(), writer.close(), bodies.close()))
        threads.shutdown(cancel_futures=True)  # what still runs there was told to end
        store.close()
        del lock


def _kafka(settings: Settings) -> KafkaSettings:
    kafka = settings.kafka
    return KafkaSettings(
        kafka.bootstrap, settings.name, security=kafka.security, tls=kafka.tls, fetch_wait_ms=kafka.fetch_wait_ms
    )


def _keeper(settings: Settings, kafka: KafkaSettings, services: Services) -> CertificateKeeper:
    assert kafka.tls is not None
    registrar = registrar_of(lambda: services.directory.keys.newest)
    holder = Holder(settings.name, kafka.tls, lambda: services.signer, registrar)
    days_left = services.metrics.certificate_days_left.set
    return CertificateKeeper(holder, kafka, services.link, services.writer, on_days_left=days_left)


async def _run(settings: Settings, services: Services, reader: LogReader) -> None:
    presence = PresenceTeller(
        settings.name,
        SOFTWARE,
        signer=lambda: services.signer,
        writer=services.writer,
        gate=services.gate,
        store=services.store,
        period_s=settings.presence_period_s,
        interval_min_s=settings.presence_interval_min_s,
        believed=lambda: services.place.signs(services.directory.membership),
    )
    services.trainer.on_lost(presence.lost_trainer)
    approvals = Approvals(frozenset(study.digest for study in settings.studies), settings.policy.cohort_min)
    site = Site(services, reader, presence, approvals, settings.studies)
    services.spawn(_flush(services.store))
    services.spawn(_prepare(services))
    services.spawn(site.run())
    try:
        await Desk(settings.data_dir, site, presence).run()
    finally:
        services.stopping.set()
        services.trainer.close()  # at once: what it is at can be had again
        presence.list_now()


class _Tasks(asyncio.TaskGroup):
    """All tasks of the service: an error in one ends it, and nothing outlives the block. Raises what ended it first."""

    def __init__(self) -> None:
        super().__init__()
        self._spawned: set[asyncio.Task[None]] = set()
        self._ending = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        if self._ending:
            task.cancel()  # asked for by one that has not heard of the end yet
        return task

    async def __aexit__(self, *how: Any) -> None:
        self._ending = True
        for task in self._spawned:
            task.cancel()
        try:
            await super().__aexit__(*how)
        except BaseExceptionGroup as group:
            raise first_error(group) from group


async def _bounded(closing: "asyncio.Future[Any]") -> None:
    """Wait for connections to end, but not for a broker that is away: they end with the process at the latest."""
    await asyncio.wait({closing}, timeout=CLOSE_S)


def _services(
    settings: Settings, sender: BodyWriter, reader: BodyReader, store: Store, link: Link, writer: Writer, tasks: _Tasks
) -> Services:
    metrics = ParticipantMetrics()
    link.on_change(lambda connected: metrics.connected.set(connected))
    link.on_rebuild(lambda kind: metrics.rebuilds.labels(kind).inc())
    link.on_trouble(lambda trouble: metrics.troubles.labels(trouble.kind).inc())
    STDERR.on_lost(lambda lines: metrics.log_lines_lost.inc(lines))
    link.on_throttle(lambda kind, wait_s: metrics.throttled_s.labels(kind).inc(wait_s))
    on_produce_error(lambda name: metrics.broker_errors.labels(name).inc())
    path = settings.trainer.fork_server
    modules = [study.task.partition(":")[0] for study in settings.studies if study.task]
    places = [place_of(one.task_folder, one.task) for one in settings.studies if one.task and one.task_folder]
    launcher = Launcher(
        Path(path).absolute() if path else None,
        list(dict.fromkeys(modules)),
        list(dict.fromkeys(places)),
        output=TaskOutput(
            settings.data_dir / "task.log",
            on_bytes=lambda fate, count: metrics.task_output_bytes.labels(fate).inc(count),
        ),
    )

    return Services(
        name=settings.name,
        folder=settings.data_dir,
        link=link,
        signing=SignRing.load(settings.keys.signing),
        opening=OpenRing.load(settings.keys.opening),
        directory=_directory(settings),
        writer=writer,
        bodies=sender,
        reader=reader,
        store=store,
        space=OutboxSpace(settings.outbox_bytes_max),
        gate=Gate(settings.policy),
        trainer=Trainer(
            launcher,
            on_progress=lambda study, share: metrics.progress.labels(study).set(share),
            task_words=settings.policy.task_words,
            on_lost=lambda study, reason: metrics.trainers_lost.labels(study, reason).inc(),
        ),
        metrics=metrics,
        strangers=Strangers(metrics),
        stopping=threading.Event(),
        spawn=tasks.spawn,
    )


def _directory(settings: Settings) -> Directory:
    """What the registrar says, and nothing older than what it said before."""
    registrar = read_registrar_key(settings.keys.registrar)

    def lost(error: OSError) -> None:
        log.error("the newest roster cannot be remembered", folder=str(settings.data_dir), reason=error.strerror)

    return Directory(registrar, RosterMemory(settings.data_dir / FILE, registrar, lost))


def _make_folders(data_dir: Path) -> None:
    """Only this user may look inside; what a killed process left half done goes."""
    try:
        data_dir.chmod(0o700)
        for name in ("models", "outbox", "scratch"):
            (data_dir / name).mkdir(exist_ok=True)
        for path in [*(data_dir / "scratch").iterdir(), *data_dir.glob("outbox/*.half")]:
            path.unlink()
    except OSError as error:
        raise LocalError(said(error, data_dir), hint=to_do(error, "check the folder's owner")) from None


async def _prepare(services: Services) -> None:
    """Start the trainer while the broker is being reached."""
    try:
        await services.trainer.prepare()
    except FederationError as error:
        log.warning("trainer not ready, trying again when it is needed", reason=str(error))


async def _flush(store: Store) -> None:
    """Write what waits for a transaction, now and then."""
    while True:
        await asyncio.sleep(FLUSH_S)
        await asyncio.to_thread(store.check_place)
        if store.waiting:
            try:
                await asyncio.to_thread(store.flush)
            except sqlite3.Error as error:
                reason, hint = in_words(error, store.path), hint_of(error)
                if is_damage(error):
                    raise LocalError(reason, hint=hint) from None
                log.error("site.db cannot be written, trying again", reason=reason, hint=hint)
