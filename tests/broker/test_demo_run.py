"""The demo as a person starts it: to its end, interrupted, and with services killed and started again by their line."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.broker.demo import Demo
from wardround.demo import guard

pytestmark = [pytest.mark.broker, pytest.mark.timeout(290)]


def test_lung_runs_to_its_end_although_coordinator_and_a_site_are_killed(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--study", "lung")
    demo.until(r"version [1-9]\d* of")
    folder, again = demo.folder("lung"), []
    for name in ("coordinator", "site-3"):
        row = demo.row("lung", name)
        os.kill(row["pid"], signal.SIGKILL)
        demo.until(f"{name} .* is gone")
        again.append(subprocess.Popen(row["argv"], cwd=row["cwd"], env=row["env"], stderr=subprocess.DEVNULL))
        demo.until(f"{name} is back")
    assert demo.wait() == 0, demo.text
    assert [process.wait(10) for process in again] == [0, 0]
    assert guard.owned(folder) == []
    assert not folder.exists()
    values = json.loads((tmp_path / "lung" / "summary.json").read_text())
    assert values["offers"] == values["counted"] + sum(values["refused"].values())
    assert (values["versions"], values["sites"]) == (40, 6)
    overall = values["metric"]["overall"]
    assert overall.keys() == {"alone", "federated", "pooled", "left_out"}
    assert all(isinstance(overall[column], float) for column in ("alone", "federated", "pooled"))
    assert all(isinstance(value, float) for value in values["metric"]["alone"].values())
    assert values["plan_digest"] in (tmp_path / "lung" / "report.html").read_text()


def test_an_interrupt_ends_everything_and_spoils_no_later_run(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--study", "lung")
    demo.until("starting the sites")
    folder = demo.folder("lung")
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 130
    assert guard.owned(folder) == []
    assert not folder.exists()


def test_a_second_demo_of_the_same_study_is_refused_while_one_runs(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--study", "lung")
    demo.until("starting Kafka")
    other = Demo(tmp_path, "--study", "lung")
    assert other.wait() == 2
    assert "in use by process" in other.text
    demo.process.send_signal(signal.SIGTERM)
    assert demo.wait() == 130
