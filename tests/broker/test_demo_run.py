"""The demo as a person starts it: to its end, interrupted, and with services killed and started again by their line."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from wardround.demo import guard
from wardround.demo.catalogue import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.timeout(290)]


class Demo:
    """A running `wardround demo` and what it has printed."""

    def __init__(self, out: Path, *words: str) -> None:
        self.out, self.lines = out, list[str]()
        line = [sys.executable, "-m", "wardround", "demo", "--out", str(out), *words]
        self.process = subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def until(self, pattern: str, seconds: float = 150.0) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"no {pattern!r} in:\n{self.text}"
            assert self.process.poll() is None or re.search(pattern, self.text), self.text
            time.sleep(0.05)

    def row(self, study: str, name: str) -> dict[str, Any]:
        rows = json.loads((self.out / study / "processes.json").read_text())
        return next(row for row in rows if row["name"] == name)

    def wait(self) -> int:
        code = self.process.wait(240)
        self._reader.join(10)
        return code

    def folder(self, study: str) -> Path:
        return Path((self.out / study / ".run").read_text())


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
    assert values["metric"]["overall"].keys() == {"alone", "federated", "pooled"}
    assert all(isinstance(value, float) for value in values["metric"]["overall"].values())
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
