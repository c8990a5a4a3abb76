"""Bringing Kafka onto a machine: pinned, resumed after an interruption, nothing twice, clear words when it fails."""

import hashlib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.kafka import install
from ops.kafka.config import CONTROLLER, MAIN, command, logging_properties, server_properties
from ops.kafka.install import Kafka, Pin, default_home, ensure, pins
from ops.kafka.ports import free_ports
from schemas.errors import LocalError

PINS = [Pin(f"g:jar-{number}:1", 3, hashlib.sha256(b"%03d" % number).hexdigest()) for number in range(5)]


class Registry:
    """Stands for the network: hands out the right jars, or fails, and counts."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.fails_after = 99
        self.prepared = 0

    def fetch(self, home: Path, pin: Pin) -> Pin:
        if len(self.served) >= self.fails_after:
            raise LocalError("cannot be downloaded")
        self.served.append(pin.file_name)
        (home / "jars" / pin.file_name).write_bytes(b"%03d" % PINS.index(pin))
        return pin

    def prepare(self, kafka: Kafka, report: object) -> None:
        self.prepared += 1


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(install, "pins", lambda text=None: PINS)
    monkeypatch.setattr(install, "_fetch", registry.fetch)
    monkeypatch.setattr(install, "_prepare", registry.prepare)
    monkeypatch.setattr(install, "_DOWNLOADS", 1)
    return registry


def test_a_second_run_downloads_nothing(registry: Registry, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    first = ensure(tmp_path / "home", lambda *step: told.append(step))
    assert told == [("downloading Kafka", 3 * number, 15) for number in range(1, 6)]
    assert ensure(tmp_path / "home") == first
    assert len(registry.served) == len(PINS)
    assert registry.prepared == 1


def test_an_interrupted_download_goes_on_with_what_is_missing(registry: Registry, tmp_path: Path) -> None:
    registry.fails_after = 2
    with pytest.raises(LocalError):
        ensure(tmp_path)
    registry.fails_after = 99
    ensure(tmp_path)
    assert sorted(registry.served) == sorted(pin.file_name for pin in PINS)


def test_a_jar_that_vanished_or_changed_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    kafka = ensure(tmp_path)
    kafka.jars[0].unlink()
    kafka.jars[1].write_bytes(b"longer")
    (tmp_path / "jars" / "left-over.jar").write_bytes(b"old")
    ensure(tmp_path)
    assert registry.served[len(PINS) :] == [kafka.jars[0].name, kafka.jars[1].name]
    assert not (tmp_path / "jars" / "left-over.jar").exists()


def test_a_full_disk_is_said_before_anything_is_fetched(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 5 * 2**20))
    with pytest.raises(LocalError, match="no disk space"):
        ensure(tmp_path)
    assert registry.served == []


def test_a_folder_that_cannot_be_made_is_said(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot be installed"):
        ensure(tmp_path / "file" / "home")


def test_the_variable_decides_where_kafka_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(install.HOME_VARIABLE, raising=False)
    assert default_home().name == ".kafka"
    monkeypatch.setenv(install.HOME_VARIABLE, str(tmp_path))
    assert default_home() == tmp_path


def test_every_jar_is_pinned_and_the_three_named_ones_are_exact() -> None:
    found = pins()
    coordinates = {pin.coordinate for pin in found}
    assert {
        "org.apache.kafka:kafka_2.13:4.4.0",
        "org.apache.kafka:kafka-clients:4.4.0",
        "org.apache.logging.log4j:log4j-slf4j2-impl:2.25.5",
    } <= coordinates
    assert len({pin.file_name for pin in found}) == len(found)
    assert all(len(pin.sha256) == 64 and pin.size > 0 for pin in found)


def test_a_broker_listens_on_the_loopback_alone() -> None:
    text = server_properties({MAIN: 1, CONTROLLER: 2, "LINK": 3}, {"LINK": 4}, secured=True)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == "CLIENTS://127.0.0.1:1,CONTROLLER://127.0.0.1:2,LINK://127.0.0.1:3"
    assert settings["advertised.listeners"] == "CLIENTS://127.0.0.1:1,LINK://127.0.0.1:4"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:2"


def test_no_path_stands_in_a_file_that_would_read_it_as_latin_1_or_as_a_list() -> None:
    text = server_properties({MAIN: 1, CONTROLLER: 2}, {}, secured=True)
    assert "log.dirs=data\n" in text
    assert "appender.file.fileName = broker.log\n" in logging_properties()
    assert "/" not in text.replace("://", "").replace("federation$/$1/", "") + logging_properties()


def test_the_line_that_starts_it_names_whole_paths(tmp_path: Path) -> None:
    argv = command(Path("/java"), [tmp_path / "a.jar", tmp_path / "b.jar"], tmp_path)
    assert argv[0] == "/java"
    assert argv[-2:] == ["kafka.Kafka", str(tmp_path / "server.properties")]
    assert f"{tmp_path}/a.jar:{tmp_path}/b.jar" in argv


def test_free_ports_differ_and_lie_outside_the_range_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port < 32_000 for port in ports)


@pytest.mark.parametrize("content", [b"", b"half of it"])
def test_a_broken_download_is_tried_once_more_and_then_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Path] = []

    class Artifact:
        def resolve(self) -> Path:
            path = tmp_path / "partial.jar"
            path.write_bytes(content)
            tries.append(path)
            return path

    monkeypatch.setattr("jgo.maven.MavenContext.create_dependency", _answer(Artifact()))
    with pytest.raises(LocalError, match="SHA-256"):
        install._fetch(tmp_path, PINS[0])
    assert len(tries) == 2


def _answer(artifact: object) -> Callable[..., object]:
    return lambda *_: type("Dependency", (), {"artifact": artifact})()
