"""The demo's processes: started in sessions of their own, watched, found again when others restart them, ended.

Knows:    each process by its argument list, which names the run's folder; processes.json tells it to everybody.
Never:    restarts anything itself, or ends a process that is not of this run.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.files import write_whole
from runtime.child import child_environment, child_line
from schemas.errors import EXIT_LOCAL, LocalError
from wardround.demo import guard

STOP_S = 5.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
_TAIL_BYTES = 4000


@dataclass(slots=True)
class Process:
    """One process as it was started; `pid` is that of its newest life, `child` None when others gave it that."""

    name: str
    argv: list[str]
    cwd: Path
    env: dict[str, str]
    pid: int
    log: Path
    service: bool = True  # the demo waits for it to come back
    child: subprocess.Popen[bytes] | None = None

    def is_alive(self) -> bool:
        """Whether its newest known life goes on."""
        if self.child is not None:
            return self.child.poll() is None
        return guard.arguments(self.pid) == self.argv

    def is_running(self) -> bool:
        """Whether it lives, in this life or in another that somebody gave it by its line; looks at all processes."""
        if self.is_alive():
            return True
        for pid in guard.everybody():
            if guard.arguments(pid) == self.argv:
                self.child, self.pid = None, pid
                return True
        return False

    @property
    def is_set_up_wrongly(self) -> bool:
        """Whether it ended by itself for a reason that starting it again would not mend."""
        return self.child is not None and self.child.poll() == EXIT_LOCAL

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, number)

    def last_lines(self, count: int = 6) -> str:
        """What it said last, for an error message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line[:300]}" for line in lines[-count:])

    def last_words(self) -> str:
        """Its error and hint, in one line."""
        return "; ".join(line.strip() for line in self.last_lines(2).splitlines()) or "its process was ended"


def environment() -> dict[str, str]:
    """What the demo's processes get to see: no secret of the shell, no setting of another federation."""
    return child_environment({name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ONE_THREAD)


class Processes:
    """All processes of one run. `folder` is the run's own, removed when it ends; `out` is where people look."""

    def __init__(self, out: Path) -> None:
        """Ends what a killed run has left behind, makes the folder, starts the guard."""
        self.out = out
        self._mark = out / ".run"
        self._end_stale()
        self.folder = Path(tempfile.gettempdir()).resolve() / f"{guard.PREFIX}{secrets.token_hex(4)}"
        self.all: dict[str, Process] = {}
        write_whole(self._mark, str(self.folder).encode())  # before the folder, so that the next run knows of it
        self.folder.mkdir(mode=0o700)
        self._logs = out / "logs"
        self._logs.mkdir(exist_ok=True)
        for old in self._logs.glob("*.log"):
            old.unlink()
        line = [sys.executable, "-I", str(Path(guard.__file__)), str(self.folder)]
        self._guard = subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True)

    def start(self, name: str, *line: str, service: bool = True, module: str = "wardround") -> Process:
        """Start `python -m module line…` and note it in processes.json."""
        return self.launch(name, child_line(module, *line), service=service)

    def launch(self, name: str, argv: Sequence[str], *, service: bool = True) -> Process:
        """Start any line in a session of its own, its output in `logs/<name>.log`."""
        log, env, cwd = self._logs / f"{name}.log", environment(), self.folder
        with log.open("ab") as output:
            child = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        return self.add(Process(name, list(argv), cwd, env, child.pid, log, service, child))

    def add(self, process: Process) -> Process:
        """Take up a process that was started elsewhere (the broker)."""
        self.all[process.name] = process
        self.write()
        return process

    def write(self) -> None:
        """Write processes.json: what is needed to start each service again."""
        rows = [
            {"name": one.name, "pid": one.pid, "argv": one.argv, "cwd": str(one.cwd), "env": one.env}
            for one in self.all.values()
        ]
        write_whole(self.out / "processes.json", json.dumps(rows, indent=1).encode())

    def gone(self) -> list[Process]:
        """Services that do not run now. Raises LocalError for one that is set up wrongly, with its last words."""
        found = []
        for process in [one for one in self.all.values() if one.service]:
            pid = process.pid
            if not process.is_running():
                if process.is_set_up_wrongly:
                    raise LocalError(
                        f"{process.name} ended; its last lines:\n{process.last_lines()}", hint=f"see {process.log}"
                    )
                found.append(process)
            elif process.pid != pid:
                self.write()
        return found

    def stop(self) -> None:
        """End everything: SIGTERM, after 5 s SIGKILL; the run's folder goes too. Can be called twice."""
        running = [one for one in self.all.values() if one.name != "broker" and one.is_running()]
        for process in running:
            process.signal(signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while time.monotonic() < until and any(one.is_alive() for one in running):
            time.sleep(0.05)
        self.close()

    def close(self) -> None:
        """End what is left at once, through the guard."""
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(guard.END_S + 1)
        for process in self.all.values():
            if process.child is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.child.wait(1)
        if not self.folder.exists():  # else the next run ends what is left
            self._mark.unlink(missing_ok=True)

    def _end_stale(self) -> None:
        try:
            folder = Path(self._mark.read_text().strip())
        except OSError:
            return
        if folder.name.startswith(guard.PREFIX) and not guard.end_all(folder):
            raise LocalError(
                f"processes {guard.owned(folder)} of an earlier demo do not end", hint="end them, then try again"
            )
        self._mark.unlink(missing_ok=True)
