"""A participant as a process of its own in a small federation: started, cut off, killed and started again by a test."""

import asyncio
import contextlib
import itertools
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.entry import folder_digest
from ops.link_proxy import LinkProxy
from participant.app import serve
from participant.settings import Settings
from participant.shell.control import StudyState, read_state
from runtime.settings import load_settings
from schemas.plan import Plan, TaskSpec
from tests.broker.federation import Federation, Site, small_plan
from tests.broker.waiting.task import PARAMETERS, STEP
from transport.reading.log import LogReader

ROOT = Path(__file__).parents[2]
WAITING = "tests.broker.waiting.task:task"
PATIENCE_S = 60.0
_studies = itertools.count()
STOP_S = 30.0  # how long a test waits for an end; that it came in time is told by the exit code


def large(parameters: int) -> dict[str, Any]:
    """What makes a plan's model larger: `plan(**large(1_000_000))`."""
    encoding = {"clip": 100.0, "scale_bits": 16}  # a coarse scale is fine for one coordinate
    return {"parameters": parameters, "options": (("parameters", str(parameters)),), "encoding": encoding}


def plan(**parts: Any) -> Plan:
    """A plan for the task that waits for a file, of two sites, under a study id of its own; the goal is one update."""
    study = f"p{int(time.time())}-{next(_studies)}"
    gather = {"goal": 1, "minimum": 1, **parts.pop("aggregation", {})}
    evaluation = {"every": 1000, "alone": False, **parts.pop("evaluation", {})}
    code = folder_digest(Path(__file__).parent / "waiting")
    options = {
        "sites": 2,
        "aggregation": gather,
        "evaluation": evaluation,
        "task": TaskSpec(WAITING, code, parts.pop("options", ())),
    }
    return small_plan(study, **{**options, **parts})


class Hospital:
    """One participant process; its settings, data and log lie in a folder of its own."""

    def __init__(
        self,
        federation: Federation,
        name: str,
        *,
        bootstrap: str | None = None,
        settings: str = "",
        more: Sequence[Plan] = (),
    ) -> None:
        """`settings` are further lines of TOML for its top level; `more` are plans that it approves besides."""
        self.name = name
        self.folder = federation.folder / f"at-{name}"
        self.patients = self.folder / "patients"
        self.patients.mkdir(parents=True)
        self.data = self.folder / "data"
        self.config = self.folder / "participant.toml"
        self._study = federation.study
        keys = federation.folder
        self.config.write_text(
            f'name = "{name}"\ndata_dir = "{self.data}"\npresence_interval_min_s = 0.05\n{settings}\n'
            f'[kafka]\nbootstrap = "{bootstrap or federation.bootstrap}"\n'
            f'tls = "{keys / name}.tls"\nfetch_wait_ms = 50\n'
            f'[keys]\nsigning = "{keys / name}.sign"\nopening = "{keys / name}.open"\n'
            f'registrar = "{keys}/registrar.pub"\n[metrics]\nport = 0\n'
            f'[[studies]]\nplan = "{federation.plan.digest.hex()}"\ndata = "{self.patients}"\n'
            + "".join(f'[[studies]]\nplan = "{one.digest.hex()}"\ndata = "{self.of(one)}"\n' for one in more)
        )
        for one in more:
            self.of(one).mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def of(self, plan: Plan) -> Path:
        """The patients' folder of one of the studies besides."""
        return self.folder / plan.study

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            line = [sys.executable, "-m", "wardround", "participant", "run", "--config", str(self.config)]
            self.process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code, which is not 0 when the end had to be forced."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, STOP_S)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def go(self) -> None:
        """Let trainings end."""
        (self.patients / "go").touch()

    def hold(self) -> None:
        """Let trainings that begin from now on wait."""
        for name in ("go", "started"):
            (self.patients / name).unlink(missing_ok=True)

    async def training(self) -> None:
        """Wait until a training has begun."""
        await self.until((self.patients / "started").exists, "training")

    async def finished(self) -> int:
        """Wait for a finished update in the outbox; returns its sequence."""
        await self.until(lambda: bool(self.outbox()), "a finished update")
        return self.outbox()[0][0]

    def state(self) -> str:
        """What the running service says of its first study in state.json; empty when it says nothing."""
        return self.standing(self._study).state

    def standing(self, study: str) -> StudyState:
        """What it says of a study."""
        state = read_state(self.data)
        if state is None or self.process is None or state.pid != self.process.pid:
            return StudyState(study, "")
        return next((one for one in state.studies if one.study == study), StudyState(study, ""))

    def outbox(self) -> list[tuple[int, int]]:
        """(sequence, base version) of what site.db holds undecided."""
        return self.rows("SELECT sequence, base_version FROM outbox ORDER BY sequence")

    def decisions(self) -> list[tuple[int, str, str | None]]:
        """(sequence, outcome, code) of what site.db says of updates that are decided."""
        return self.rows("SELECT sequence, outcome, code FROM decided ORDER BY rowid")

    def rows(self, query: str) -> list[Any]:
        """What a query of site.db gives; nothing while there is no such table."""
        if not (self.data / "site.db").exists():
            return []
        with contextlib.closing(sqlite3.connect(self.data / "site.db", timeout=5)) as database:
            try:
                return database.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    async def until(self, there: Callable[[], bool], what: str) -> None:
        """Look again and again; a failed test, with the end of the log, after PATIENCE_S."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            if there():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{what} did not come to {self.name}: {self.log[-2000:]}")


@contextlib.contextmanager
def hospital(federation: Federation, name: str, **how: Any) -> Iterator[Hospital]:
    """A participant that is gone at the end, whatever the test did; a test that fails shows what it said."""
    one = Hospital(federation, name, **how)
    try:
        yield one
    except BaseException:
        print(f"log of {name}:\n{one.log}")
        raise
    finally:
        if one.process is not None and one.process.poll() is None:
            one.kill()


@contextlib.asynccontextmanager
async def serving(at: Hospital, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogReader]:
    """The participant in this process; yields the reader of its log, which a test may pause."""
    readers: list[LogReader] = []

    def reader(*arguments: Any) -> LogReader:
        readers.append(LogReader(*arguments))
        return readers[0]

    monkeypatch.setattr("participant.app.LogReader", reader)
    task = asyncio.create_task(serve(load_settings(Settings, at.config, {})))
    try:
        await at.until(lambda: bool(readers) or task.done(), "its start")
        yield readers[0]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def break_after(link: LinkProxy, *, up: int = 0, down: int = 0, silent: bool = False) -> None:
    """Cut the link once so many more bytes have passed."""
    up_to, down_to = link.bytes_up + up, link.bytes_down + down
    async with asyncio.timeout(PATIENCE_S):
        while link.bytes_up < up_to or link.bytes_down < down_to:  # noqa: ASYNC110  # a proxy tells nobody of bytes
            await asyncio.sleep(0.001)
    await link.cut(silent=silent)


async def pass_versions(fed: Federation, last: int) -> None:
    """The first site makes versions alone, up to `last`."""
    quick = next(iter(fed.sites.values()))
    newest = (await fed.announcements())[-1]
    while newest.version < last:
        update = np.zeros(PARAMETERS, np.float32)
        update[0] = STEP
        await quick.offer(newest, update)
        newest = await fed.version(newest.version + 1)


def late_site(fed: Federation) -> Site:
    """The site that a process plays."""
    return list(fed.sites.values())[-1]


def other_end(link: LinkProxy) -> str:
    return f"127.0.0.1:{link.port}"


async def finished_then_killed(at: Hospital, link: LinkProxy) -> int:
    """Lose the link amidst a training, finish the update, be killed; returns its sequence. The link is back."""
    at.start()
    await at.training()
    await link.cut()
    at.go()
    sequence = await at.finished()
    at.kill()
    await link.restore()
    return sequence
