"""A federation of real processes for tests: broker, coordinator, participants, trainers; any of them may be killed.

Each service is started again by its line in processes.json, as an operator's supervisor would.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.kafka import Broker
from protocol.digests import digest_of, model_subject
from protocol.sealing import ChunkOpener, OpenKey, open_epoch_box, open_epoch_key
from registry.members import NewMember
from registry.pki.authority import Authority
from registry.plans.authoring import AuthoredPlan
from registry.registrar import Registrar
from schemas import topics
from schemas.plan import Plan
from schemas.records import Announcement, EpochKey, Receipt, Request, Role, Signed, kind_of
from tests.broker.access import authority
from transport.bodies import BodyReader
from transport.reading.log import EARLIEST, LogReader, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from wardround.demo import guard
from wardround.demo.processes import Processes
from wardround.demo.stage import COORDINATOR, Stage, coordinator_settings, make_keys, participant_settings

PATIENCE_S = 120.0
Vector = NDArray[np.float32]


@dataclass(slots=True)
class Services:
    """One study, run by processes."""

    broker: Broker
    processes: Processes
    stage: Stage
    plan: Plan
    kafka: KafkaSettings
    restarted: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def version(self, number: int) -> None:
        """Wait for the Announcement of a version."""
        reader = LogReader(self.kafka, Link(self.kafka))
        until = asyncio.get_running_loop().time() + PATIENCE_S
        try:
            await reader.assign({topics.rounds(self.plan.study): EARLIEST})
            while asyncio.get_running_loop().time() < until:
                for entry in await reader.batch(wait_ms=1000):
                    payload = Signed.from_bytes(entry.value or b"").payload
                    if kind_of(payload) == Announcement.KIND and Announcement.from_bytes(payload).version >= number:
                        return
        finally:
            await reader.close()
        gone = ", ".join(process.name for process in self.processes.gone()) or "nobody"
        raise AssertionError(f"version {number} did not come within {PATIENCE_S:g} s; gone: {gone}")

    async def rounds(self) -> tuple[list[Announcement], list[Request]]:
        announced, requests = [], []
        for payload in await self._payloads(topics.rounds(self.plan.study)):
            if kind_of(payload) == Announcement.KIND:
                announced.append(Announcement.from_bytes(payload))
            elif kind_of(payload) == Request.KIND:
                requests.append(Request.from_bytes(payload))
        return announced, requests

    async def receipts(self) -> dict[str, Receipt]:
        """The newest receipt of each site."""
        found = [Receipt.from_bytes(payload) for payload in await self._payloads(topics.receipts(self.plan.study))]
        return {receipt.site: receipt for receipt in found}

    async def models(self) -> dict[int, Vector]:
        """Every version that is still on the log, opened with the first site's keys."""
        study = self.plan.study
        name = next(name for name in self.stage.cards if name != COORDINATOR)
        opening = OpenKey.load(self.stage.keys / f"{name}.open")
        keys = {
            record.epoch: open_epoch_key(opening, record)
            for record in map(EpochKey.from_bytes, await self._payloads(topics.keys(study)))
            if record.member == name
        }
        reader = BodyReader(self.kafka, Link(self.kafka))
        try:
            announced, _ = await self.rounds()
            return {one.version: await _open(reader, study, one, keys[one.key_epoch]) for one in announced}
        finally:
            await reader.close()

    def start_site(self, site: str) -> None:
        path = participant_settings(self.stage, site, self.broker.bootstrap, [self.plan], None)
        self.processes.start(site, "participant", "run", "--config", str(path))

    def said(self, name: str) -> str:
        """The log of a service."""
        return self.processes.all[name].log.read_text()

    def kill(self, name: str) -> None:
        """SIGKILL a service and start it again by its line in processes.json."""
        rows = json.loads((self.processes.out / "processes.json").read_text())
        row = next(row for row in rows if row["name"] == name)
        os.kill(int(row["pid"]), signal.SIGKILL)
        log = (self.processes.out / f"{name}.again.log").open("ab")
        again = subprocess.Popen(
            row["argv"], cwd=row["cwd"], env=row["env"], stdout=log, stderr=log, start_new_session=True
        )
        self.restarted.append(again)
        self.processes.all[name].child, self.processes.all[name].pid = None, again.pid
        self.processes.write()

    def kill_trainers(self, *, fork_server: bool) -> int:
        """SIGKILL trainers, or the server that forks them; their users start them again. Returns how many."""
        wanted = trainers(self.stage.folder, fork_server=fork_server)
        for pid in wanted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(wanted)

    async def _payloads(self, topic: str) -> list[bytes]:
        entries = await read_to_end(self.kafka, Link(self.kafka), [topic])
        return [Signed.from_bytes(entry.value).payload for entry in entries if entry.value is not None]


async def _open(reader: BodyReader, study: str, announced: Announcement, epoch_key: bytes) -> Vector:
    body = announced.model.body
    subject = model_subject(study, announced.version)
    opener = ChunkOpener(open_epoch_box(epoch_key, body.boxes), subject, body.count)
    sealed = [chunk async for chunk in reader.chunks(topics.models(study), body.runs)]
    plain = b"".join(opener.open(index, chunk) for index, chunk in enumerate(sealed))
    assert digest_of([plain]) == announced.model.digest
    return np.frombuffer(plain, "<f4")


def trainers(folder: Path, *, fork_server: bool) -> list[int]:
    """The trainers that belong to a folder, or the servers that fork them."""
    servers = [pid for pid in guard.owned(folder) if _is_fork_server(pid)]
    return [pid for pid in servers if (_parent(pid) not in servers) is fork_server]


def _is_fork_server(pid: int) -> bool:
    return any("fork_server" in word for word in guard.arguments(pid))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextlib.asynccontextmanager
async def services(
    broker: Broker,
    out: Path,
    authored: AuthoredPlan,
    sites: Sequence[str],
    *,
    issuer: Authority | None = None,
    prepare: Callable[[Stage], None] = lambda stage: None,
    late: Container[str] = (),
) -> AsyncIterator[Services]:
    """Coordinator and participants of a study, each a process; all of it is gone at the end.

    issuer    whose certificates they have; None: the tests' authority
    prepare   called before any of them is started
    late      sites that are not started, with `start_site` later
    """
    out.mkdir(parents=True)
    processes = Processes(out)
    try:
        stage = await asyncio.to_thread(make_keys, processes.folder, sites, issuer or authority())
        prepare(stage)
        kafka = stage.reach(broker.bootstrap, "test-services", fetch_wait_ms=50)
        async with Registrar(kafka, stage.registrar) as registrar:
            await registrar.publish_members(
                NewMember(card, (Role.COORDINATOR if name == COORDINATOR else Role.SITE,))
                for name, card in stage.cards.items()
            )
            await registrar.publish_roster()
            await registrar.create_study(authored.plan, authored.initial.tobytes())
        processes.start(COORDINATOR, "coordinator", "--config", str(coordinator_settings(stage, broker.bootstrap)))
        running = Services(broker, processes, stage, authored.plan, kafka)
        for site in sites:
            if site not in late:
                running.start_site(site)
        try:
            yield running
        finally:
            await asyncio.to_thread(processes.stop)
            for child in running.restarted:
                child.wait()
    finally:
        processes.close()
