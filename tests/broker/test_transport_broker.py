"""The embedded broker as a process: restarted by its line, found again, and clear words for what goes wrong."""

import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ops.kafka import Broker, ensure
from ops.kafka.process import has_started
from schemas.errors import LocalError
from tests.broker.access import start_broker

pytestmark = pytest.mark.broker


def test_the_same_line_starts_it_again_after_a_kill(mortal_kafka: Broker) -> None:
    before, bootstrap = mortal_kafka.pid, mortal_kafka.bootstrap
    mortal_kafka.kill()
    assert not mortal_kafka.is_running()
    since = mortal_kafka.log.stat().st_size
    process = subprocess.Popen(
        mortal_kafka.argv,
        env=mortal_kafka.env,
        cwd=mortal_kafka.cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not has_started(mortal_kafka.log, since):
        assert process.poll() is None
        time.sleep(0.05)
    found = Broker.find(mortal_kafka.folder)
    assert found is not None
    assert (found.pid, found.bootstrap) == (process.pid, bootstrap)
    assert process.pid != before
    found.stop()  # by whomever it was started
    assert process.wait(5) is not None
    assert Broker.find(mortal_kafka.folder / "elsewhere") is None


def test_a_second_start_in_the_same_folder_is_refused_and_a_later_one_keeps_the_ports(mortal_kafka: Broker) -> None:
    with pytest.raises(LocalError, match="runs in"):
        start_broker(mortal_kafka.folder)
    mortal_kafka.stop()
    mortal_kafka.stop()
    again = start_broker(mortal_kafka.folder)
    assert again.bootstrap == mortal_kafka.bootstrap
    assert again.is_ready()
    again.stop()


def test_a_port_in_use_is_named(kafka: Broker, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port}"):
            start_broker(tmp_path / "broker", port=port)


def test_a_broker_that_cannot_start_shows_its_last_lines(kafka: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "data").mkdir()
    with pytest.raises(LocalError, match=r"meta\.properties") as caught:
        start_broker(folder)
    assert "broker.log" in caught.value.hint
    found = Broker.find(folder)
    assert found is not None
    assert not found.is_running()


def test_it_listens_on_the_loopback_alone(kafka: Broker) -> None:
    own = {f"socket:[{line.split()[9]}]": line.split()[1] for name in ("tcp", "tcp6") for line in _listening(name)}
    links = [path.readlink().name for path in Path(f"/proc/{kafka.pid}/fd").iterdir() if path.is_symlink()]
    addresses = [own[link].split(":")[0] for link in links if link in own]
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert len(addresses) == 2
    assert set(addresses) <= loopback


def _listening(table: str) -> list[str]:
    return [line for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:] if line.split()[3] == "0A"]


AWKWARD = ("Süd", "Kliniken, Nord", "two words", "100% = all", "Żółw 東京", "back\\slash", "$HOME {x}", "#1!")


def test_a_broker_runs_in_a_folder_of_any_name_and_starts_again_there(tmp_path: Path) -> None:
    folder = tmp_path
    for name in AWKWARD:  # all in one path: each start takes seconds
        folder = folder / name
    broker = start_broker(folder)
    broker.stop()
    again = start_broker(folder)
    try:
        found = Broker.find(folder)
        assert found is not None
        assert (found.pid, again.is_ready()) == (again.pid, True)
        assert (folder / "data" / "__cluster_metadata-0").is_dir()
    finally:
        again.stop()
    for name in AWKWARD:
        assert [path.name for path in tmp_path.iterdir()] == [name]  # and no misspelt one beside it
        tmp_path = tmp_path / name


def test_a_kafka_installed_in_a_folder_of_any_name_starts(kafka: Broker, tmp_path: Path) -> None:
    home = tmp_path / "Jürgen, Büro 2"
    home.mkdir()
    for name in ("jars", "template", "broker.aot"):
        (home / name).symlink_to(ensure().home / name)
    installed = ensure()
    jars = tuple(home / "jars" / jar.name for jar in installed.jars)
    broker = start_broker(tmp_path / "broker", kafka=replace(installed, home=home, jars=jars))
    assert broker.is_ready()
    broker.stop()
