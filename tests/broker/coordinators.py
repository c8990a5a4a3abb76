"""Coordinators as processes of their own beside scripted sites: any of them may be killed, stopped and woken."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ops.kafka.ports import free_ports
from protocol.digests import record_digest
from protocol.rounds import RoundsView
from tests.broker.federation import Federation

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Coordinator:
    """One process with a data folder and a metrics port of its own; it shares name and keys with the others."""

    name: str
    config: Path
    port: int
    log: Path
    module: str = "wardround"  # what is run
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        line = [sys.executable, "-m", self.module, "coordinator", "--config", str(self.config)]
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(line, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)

    def send(self, number: signal.Signals) -> None:
        assert self.child is not None
        os.kill(self.child.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self.child.wait()
            self.child = None

    async def end(self) -> int:
        """SIGTERM; the exit code."""
        assert self.child is not None
        self.send(signal.SIGTERM)
        code = await asyncio.to_thread(self.child.wait, 15)
        self.child = None
        return code

    async def metric(self, name: str) -> float | None:
        """The sum over the labels of one metric; None while the process does not answer."""
        try:
            page = await asyncio.to_thread(self._page)
        except OSError:
            return None
        lines = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def leads(self) -> bool:
        return bool(await self.metric("wardround_coordinator_leads"))

    def said(self, words: str) -> int:
        """How often its log has these words."""
        return self.log.read_text(errors="replace").count(words)

    def _page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=1) as page:
            return str(page.read().decode())


def _coordinator(fed: Federation, name: str) -> Coordinator:
    settings, folder, port = fed.settings(), fed.folder / name, free_ports(1)[0]
    keys = settings.keys
    config = fed.folder / f"{name}.toml"
    config.write_text(
        f'name = "coordinator"\ndata_dir = "{folder}"\nstudies = ["{fed.study}"]\n'
        f'[kafka]\nbootstrap = "{fed.bootstrap}"\ntls = "{fed.folder}/coordinator.tls"\nfetch_wait_ms = 50\n'
        f'[keys]\nsigning = "{keys.signing}"\nopening = "{keys.opening}"\nregistrar = "{keys.registrar}"\n'
        f"[metrics]\nport = {port}\n"
    )
    return Coordinator(name, config, port, fed.folder / f"{name}.log")


@contextlib.asynccontextmanager
async def coordinators(fed: Federation, *names: str) -> AsyncIterator[list[Coordinator]]:
    """Coordinators that are not started yet. What runs at the end leaves the group, as the next test is in it too."""
    everybody = [_coordinator(fed, name) for name in names]
    try:
        yield everybody
        await asyncio.gather(*(one.end() for one in everybody if one.child is not None))
    finally:
        for one in everybody:
            one.kill()


async def leader(fed: Federation, everybody: list[Coordinator]) -> Coordinator:
    """Who leads the study, waited for."""

    async def found() -> Coordinator | None:
        leading = [one for one in everybody if one.child is not None and await one.leads()]
        return leading[0] if leading else None

    return await fed.until(found, "a leader")


async def check_chain(fed: Federation) -> int:
    """Every record of `rounds` continues the one before; returns how many there are."""
    view = RoundsView(fed.study, fed.plan.digest)
    records = await fed.rounds()
    digests = [record_digest(record.to_bytes()) for record in records]
    assert len(set(digests)) == len(digests)
    for record in records:
        assert view.add(record)
    return len(records)
