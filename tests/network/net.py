"""Three machines of Linux namespaces in a row: a hospital's host, the hospital's proxy, the federation's host.

Knows:    hosp reaches prox alone and has no name service; prox reaches both and forwards nothing; fed reaches prox.
Never:    touches the network of this machine: addresses and interfaces are inside the namespaces.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_S = 20.0  # squid takes 0.3 s on a quiet machine
STOP_S = 5.0

HOSP, PROX, FED = "hosp", "prox", "fed"
HOSP_IP, PROX_IP = "10.99.1.2", "10.99.1.1"  # the hospital's own network
PROX_OUT_IP, FED_IP = "10.99.2.1", "10.99.2.2"  # the way to the federation

_LISTENS = "0A"  # /proc/net/tcp: the state of a socket that listens


class Net:
    """The machines, and what was started in them. `down` ends all of it, by the ids of the processes."""

    def __init__(self, ip: str, folder: Path) -> None:
        """`ip` is iproute2's command; `folder` takes what processes say."""
        self.folder = folder
        self._ip = ip
        self._names = {where: f"wardround-{where}-{os.getpid()}" for where in (HOSP, PROX, FED)}
        self._made: list[str] = []
        self._started: list[subprocess.Popen[bytes]] = []

    def up(self) -> None:
        """Make the machines and their links. Raises CalledProcessError; `down` is due then too."""
        for where, name in self._names.items():
            self._do("netns", "add", name)
            self._made.append(name)
            self._do("-n", name, "link", "set", "lo", "up")
            self.run(where, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
        self._link(HOSP, "h0", HOSP_IP, PROX, "p0", PROX_IP)
        self._link(PROX, "p1", PROX_OUT_IP, FED, "f0", FED_IP)
        # the host knows a way, so that what ends at the proxy is the proxy's doing
        self._do("-n", self._names[HOSP], "route", "add", "10.99.2.0/24", "via", PROX_IP)

    def down(self) -> None:
        """Whatever of it is there. A namespace goes when the last process in it has ended."""
        while self._started:
            self.end(self._started[-1])
        while self._made:
            with contextlib.suppress(subprocess.SubprocessError):
                self._do("netns", "delete", self._made[-1])
            self._made.pop()

    def cut(self) -> None:
        """Take the link between the hospital's host and its proxy away."""
        self._do("-n", self._names[HOSP], "link", "set", "h0", "down")

    def mend(self) -> None:
        """The link is there again, and with it the way out."""
        self._do("-n", self._names[HOSP], "link", "set", "h0", "up")
        self._do("-n", self._names[HOSP], "route", "replace", "10.99.2.0/24", "via", PROX_IP)

    def within(self, where: str, *argv: str) -> list[str]:
        """The command line that does `argv` on the machine `where`; the process is the command's own in the end."""
        return [self._ip, "netns", "exec", self._names[where], *argv]

    def run(self, where: str, *argv: str, timeout_s: float = 20.0) -> str:
        """What a command says. Raises CalledProcessError and TimeoutExpired."""
        done = subprocess.run(
            self.within(where, *argv), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout_s
        )
        return done.stdout

    def python(self, where: str, *arguments: str, timeout_s: float = 60.0) -> str:
        """As `run`, of this Python in the checkout: `-m package.module ...`, or `-c "..."`."""
        return self.run(where, sys.executable, *arguments, timeout_s=timeout_s)

    def start(
        self,
        where: str,
        argv: Sequence[str],
        *,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process and wait until somebody on its machine listens on `port`. Raises AssertionError."""
        said = self.folder / f"{where}-{len(self._started)}.log"
        with said.open("wb") as file:
            process = subprocess.Popen(
                self.within(where, *argv), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env=env, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        end = time.monotonic() + READY_S
        while port is not None and not _listens(process.pid, port):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{argv[0]} does not listen on {port}: {said.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process that `start` gave, with all that it has started itself."""
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: helpers that outlived it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        self._started.remove(process)

    def _link(self, one: str, end: str, address: str, other: str, other_end: str, other_address: str) -> None:
        left, right = self._names[one], self._names[other]
        self._do("link", "add", end, "netns", left, "type", "veth", "peer", "name", other_end, "netns", right)
        for name, interface, own in ((left, end, address), (right, other_end, other_address)):
            self._do("-n", name, "addr", "add", f"{own}/24", "dev", interface)
            self._do("-n", name, "link", "set", interface, "up")

    def _do(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, timeout=20)


def _listens(pid: int, port: int) -> bool:
    """Whether somebody in the network of process `pid` listens on a port."""
    try:
        if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            return False  # not there yet
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return False
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return any(row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port for row in rows)
