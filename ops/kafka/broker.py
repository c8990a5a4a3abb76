"""A one-node broker as a process: started, found again, killed and started again on the same ports and folder.

Knows:    its folder holds everything: settings, keys, data, log, and broker.json, which says how to start it. Its
          process is recognised by the settings file in its command line, whoever started it.
Never:    listens anywhere but on the loopback, or without TLS unless that is asked for by name.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.kafka.config import (
    COMPILER,
    CONTROLLER,
    KEYSTORE,
    MAIN,
    TRUSTSTORE,
    command,
    compiler_directives,
    logging_properties,
    server_properties,
)
from ops.kafka.install import Kafka, ensure, need_disk
from ops.kafka.ports import HOST, free_ports, is_free
from ops.kafka.process import environment, has_started, last_lines, size_of, spawn, wait_for_start, write_file
from schemas.errors import LocalError

START_S = 90.0  # 1 to 2 s on a quiet machine; a loaded one takes up to a minute
STOP_S = 10.0

_DISK_BYTES = 256 * 1024 * 1024
_STATE = "broker.json"
_HINTS = {
    "No space left": "free the disk",
    "Address already in use": "another server has just taken one of its ports; start it again",
}
_IDS = ("cluster.id=", "directory.id=")


@dataclass(frozen=True, slots=True)
class _State:
    """What broker.json holds."""

    argv: list[str]
    ports: dict[str, int]  # listener -> port it listens on


@dataclass(frozen=True, slots=True)
class BrokerKeys:
    """What a broker shows and whom it believes: PEM, the key first in the keystore."""

    keystore: bytes
    truststore: bytes


PLAINTEXT_ON_PURPOSE = None  # in place of a broker's keys: whoever reaches it may do anything


class Broker:
    """A broker in `folder`. `argv`, `env` and `cwd` start it again after any end, by whomever."""

    def __init__(self, folder: Path, state: _State, process: subprocess.Popen[bytes] | None) -> None:
        self.folder = folder
        self.env = environment()
        self._state = state
        self._process = process
        self._since: dict[Path, int] = {}

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        keys: BrokerKeys | None,
        port: int | None = None,
        extra_listeners: Mapping[str, int] | None = None,
        kafka: Kafka | None = None,
        heap_mb: int | None = None,
        wait_s: float = START_S,
    ) -> "Broker":
        """Make the folder where needed, start the broker and wait until it is ready; `wait_s` 0 does not wait.

        keys             its own for TLS; PLAINTEXT_ON_PURPOSE for a broker without TLS and rights
        port             of the main listener; otherwise the one used in this folder before, else a free one
        extra_listeners  NAME -> port that clients of this listener are sent to: that of a proxy, which in its turn
                         connects to `listener_port(NAME)`
        heap_mb          for more clients than a dozen or two: each has several connections with buffers
        Raises LocalError when it runs already, a port is in use, the disk is full, or the broker ends while starting.
        """
        folder = folder.resolve()
        kafka = kafka or ensure()
        if pid := _find_process(folder):
            raise LocalError(
                f"a broker runs in {folder} already (process {pid})", hint="stop it: `wardround kafka down`"
            )
        heap = (f"-Xmx{heap_mb}m",) if heap_mb else ()  # the last one counts
        state = _prepare(folder, kafka, keys, port, extra_listeners or {}, heap)
        write_file(folder / _STATE, json.dumps(asdict(state), indent=1))
        broker = cls(folder, state, None)
        try:
            broker.launch()
            if wait_s:
                broker.wait_ready(wait_s)
        except BaseException:  # Ctrl-C too: a session of its own keeps the process out of a terminal's reach
            if broker._process is not None:
                broker.stop()
            raise
        return broker

    @classmethod
    def find(cls, folder: Path) -> "Broker | None":
        """The broker that was started in this folder, running or not; None where there never was one."""
        folder = folder.resolve()
        state = _read(folder)
        return None if state is None else cls(folder, state, None)

    @property
    def argv(self) -> list[str]:
        """The line that starts it."""
        return list(self._state.argv)

    @property
    def cwd(self) -> Path:
        """Where that line has to be run."""
        return self.folder

    @property
    def pid(self) -> int | None:
        """Its process id, whoever started it; None while it does not run."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        return _find_process(self.folder)

    @property
    def bootstrap(self) -> str:
        """host:port of the main listener."""
        return f"{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port of the main listener."""
        return self._state.ports[MAIN]

    @property
    def log(self) -> Path:
        """Its log file: warnings, errors, and when it had started."""
        return self.folder / "broker.log"

    def listener_port(self, name: str) -> int:
        """The loopback port that an extra listener really listens on."""
        return self._state.ports[name]

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.pid is not None

    def is_ready(self) -> bool:
        """Whether it takes requests since its last start from here."""
        return self.is_running() and has_started(self.log, self._since.get(self.log, 0))

    def launch(self) -> None:
        """Start the process (again) and return at once. Raises LocalError for a port in use or a full disk."""
        need_disk(self.folder, _DISK_BYTES)
        for name, port in self._state.ports.items():
            if not is_free(port):
                raise LocalError(
                    f"port {port} of the broker ({name.lower()}) is in use",
                    hint="end what listens there, or name another port",
                )
        self._since = {path: size_of(path) for path in (self.log, self.folder / "output.log")}
        try:
            self._process = spawn(self.argv, self.folder, self.env)
        except OSError as error:
            raise LocalError(
                f"the broker cannot be started: {error}", hint="remove the cache folder .kafka and try again"
            ) from error

    def wait_ready(self, seconds: float = START_S) -> None:
        """Wait until it takes requests. Raises LocalError with its last log lines when it ended or is too slow."""
        try:
            wait_for_start(self.log, self.is_running, since=self._since.get(self.log, 0), seconds=seconds)
        except (ChildProcessError, TimeoutError) as error:
            lines = last_lines(self.folder / "output.log", self.log, since=self._since)
            self.stop()
            hint = next((hint for sign, hint in _HINTS.items() if sign in lines), f"see {self.log}")
            raise LocalError(f"{error}; its last lines:\n{lines}" if lines else str(error), hint=hint) from error

    def kill(self) -> None:
        """SIGKILL, as a test or a fault does it."""
        self._signal(signal.SIGKILL)
        self._wait_end(STOP_S)

    def stop(self) -> None:
        """End it in order, with SIGKILL after 10 s; one that has ended already is no error."""
        self._signal(signal.SIGTERM)
        if not self._wait_end(STOP_S):
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_end(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def _prepare(
    folder: Path,
    kafka: Kafka,
    keys: BrokerKeys | None,
    port: int | None,
    extra_listeners: Mapping[str, int],
    heap: Sequence[str],
) -> _State:
    """Write settings and, in a new folder, an empty formatted data folder. Ports of an earlier start are kept."""
    before = _read(folder)
    kept = before.ports if before is not None else {}
    names = [MAIN, CONTROLLER, *extra_listeners]
    ports = {name: kept.get(name, free) for name, free in zip(names, free_ports(len(names)), strict=True)}
    if port is not None:
        ports[MAIN] = port
    try:
        folder.mkdir(parents=True, exist_ok=True)
        need_disk(folder, _DISK_BYTES)
        if not (folder / "data").exists():
            _copy_template(kafka.template, folder)
        _write_keys(folder, keys)
        write_file(folder / COMPILER, compiler_directives())
        properties = server_properties(ports, extra_listeners, secured=keys is not None)
        write_file(folder / "server.properties", properties)
        write_file(folder / "log4j2.properties", logging_properties())
    except OSError as error:
        raise LocalError(
            f"no broker can be set up in {folder}: {error}", hint="free the disk or name another folder"
        ) from error
    return _State(command(kafka.java, kafka.jars, folder, extra=(*kafka.jvm_options, *heap)), ports)


def _write_keys(folder: Path, keys: BrokerKeys | None) -> None:
    if keys is None:
        (folder / KEYSTORE).unlink(missing_ok=True)
        (folder / TRUSTSTORE).unlink(missing_ok=True)
    else:
        write_file(folder / KEYSTORE, keys.keystore.decode(), mode=0o600)
        write_file(folder / TRUSTSTORE, keys.truststore.decode())


def _copy_template(template: Path, folder: Path) -> None:
    """What formatting would make, with ids of its own; renamed last, so that a part is never taken for the whole."""
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(template, new)
    properties = new / "meta.properties"
    lines = [line for line in properties.read_text().splitlines() if not line.startswith(_IDS)]
    write_file(properties, "\n".join([*lines, f"cluster.id={_kafka_id()}", f"directory.id={_kafka_id()}", ""]))
    new.rename(folder / "data")


def _kafka_id() -> str:
    """A random id as Kafka writes them: 22 characters of base64url that do not begin with a dash."""
    return "w" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def _read(folder: Path) -> _State | None:
    try:
        return _State(**json.loads((folder / _STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _find_process(folder: Path) -> int | None:
    """The broker of this folder among all processes; zombies have no command line and do not count."""
    settings = str(folder / "server.properties").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if settings in argv and b"kafka.Kafka" in argv:
                return int(entry.name)
    return None
