"""A broker's process as its starter sees it: found by any path, never left behind by a start that was given up."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ops.kafka import PLAINTEXT_ON_PURPOSE, Broker, broker
from ops.kafka.install import Kafka
from ops.kafka.process import spawn


@pytest.fixture
def idle_java(tmp_path: Path) -> Kafka:
    """Stands for an installed Kafka whose process lives on and never says that it has started."""
    home = tmp_path / "home"
    java, template = tmp_path / "java", home / "template" / "data"
    java.write_text("#!/bin/sh\nexec sleep 60\n")
    java.chmod(0o755)
    template.mkdir(parents=True)
    (template / "meta.properties").write_text("version=1\n")
    return Kafka(home, java, ())


def test_a_start_that_is_interrupted_leaves_no_process(
    idle_java: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def noted(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        process = spawn(argv, folder, env)
        begun.append(process.pid)
        return process

    monkeypatch.setattr(broker, "spawn", noted)
    monkeypatch.setattr(broker, "wait_for_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Broker.start(tmp_path / "broker", keys=PLAINTEXT_ON_PURPOSE, kafka=idle_java)
    [pid] = begun
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_broker_is_found_by_any_path_of_its_folder(
    idle_java: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    started = Broker.start(Path("../k3"), keys=PLAINTEXT_ON_PURPOSE, kafka=idle_java, wait_s=0)
    try:
        found = Broker.find(tmp_path / "k3")
        assert found is not None
        assert (found.folder, started.folder, found.port) == (tmp_path / "k3", tmp_path / "k3", started.port)
    finally:
        started.kill()
