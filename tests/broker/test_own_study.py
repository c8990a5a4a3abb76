"""The guide from tables to predictions, typed as it stands in a folder of one's own."""

import csv
import json
import random
import re
import shlex
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from runtime.child import ROOT, child_line
from wardround.demo import guard

pytestmark = [pytest.mark.broker, pytest.mark.timeout(290)]

GUIDE = (ROOT / "docs" / "your-own-study.md").read_text()
TASK = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
TABLE = re.findall(r"^```csv\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^wardround .*", GUIDE, re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that the guide begins with, below a path with a blank and an umlaut."""
    place = tmp_path / "Süd Klinik"
    (place / "ward").mkdir(parents=True)
    (place / "tables").mkdir()
    (place / "ward" / "task.py").write_text(TASK[0])
    for number in (1, 2, 3):
        (place / "tables" / f"site-{number}.csv").write_text(table(number))
    labelled = list(csv.reader(table(9).splitlines()))
    with (place / "new.csv").open("w", newline="") as file:
        csv.writer(file).writerows(row[:-1] for row in labelled)
    return place


def table(seed: int) -> str:
    """Sixty made patients with the guide's header; who is old and has a high pressure is more often ill."""
    rng, head = random.Random(seed), TABLE[0].splitlines()[0]
    assert head == "patient,name,sex,age,systolic,ill"
    rows = [head]
    for number in range(60):
        age, systolic = rng.randint(20, 95), rng.randint(90, 200)
        ill = int(age / 60 + systolic / 140 + rng.gauss(0, 0.3) > 2)
        rows.append(f'P{seed}{number:03},"Nachname-{number}, Vorname",{rng.choice("FM")},{age},{systolic},{ill}')
    return "\n".join(rows) + "\n"


def typed(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    line = child_line("wardround", *shlex.split(command)[1:])
    return subprocess.run(line, cwd=place, capture_output=True, text=True, timeout=200, check=False)


def test_from_tables_to_predictions_by_the_guides_own_commands(place: Path) -> None:
    assert 2 <= len(COMMANDS) <= 5  # with `make` at most six
    for command in COMMANDS:
        done = typed(command, place)
        assert done.returncode == 0, done.stdout + done.stderr
    with (place / "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 60
    left = json.loads((place / "out" / "try" / "ward" / "summary.json").read_text())
    planned = tomllib.loads((place / "ward" / "plan.toml").read_text())["stop"]["versions"]
    assert (left["study"], left["sites"], left["versions"]) == ("ward", 3, planned)
    assert left["metric"]["overall"].keys() >= {"alone", "federated", "pooled"}
    files = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert [path for path in files if b"Nachname" in path.read_bytes()] == []
    assert str(place / "out" / "try" / "ward" / "report.html") in run_again(place, "--versions 2 --sites 2 --calm")


def run_again(place: Path, options: str) -> str:
    """A second run with the plan that the first has written, its bounds in force."""
    before = (place / "ward" / "plan.toml").read_bytes()
    done = typed(f"wardround try ward --data tables {options}", place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place / "ward" / "plan.toml").read_bytes() == before
    left = json.loads((place / "out" / "try" / "ward" / "summary.json").read_text())
    assert (left["sites"], left["versions"]) == (2, 2)
    assert "loses its link" not in done.stdout
    return done.stdout


def test_a_site_that_cannot_read_its_table_ends_the_rehearsal_by_its_name_and_leaves_nothing(place: Path) -> None:
    (place / "tables" / "site-2.csv").write_text("patient,age\nP1,50\n")
    done = typed("wardround try ward --data tables", place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "site-2" in done.stderr
    assert "column" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (place / "out" / "try" / "ward" / ".run").exists()


def test_an_interrupt_leaves_neither_processes_nor_folders(place: Path) -> None:
    line = child_line("wardround", "try", "ward", "--data", "tables")
    rehearsal = subprocess.Popen(line, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    mark, end = place / "out" / "try" / "ward" / ".run", time.monotonic() + 100
    assert rehearsal.stdout is not None
    for said in rehearsal.stdout:
        if "starting the sites" in said:
            break
        assert time.monotonic() < end
    folder = Path(mark.read_text())
    rehearsal.send_signal(signal.SIGINT)
    rehearsal.stdout.read()
    assert rehearsal.wait(60) == 130
    assert guard.owned(folder) == []
    assert not folder.exists()


def test_a_task_that_fails_its_test_ends_the_rehearsal_with_the_authors_line_before_any_site_starts(
    place: Path,
) -> None:
    wrong = TASK[0].replace("(outputs.argmax(axis=1) == targets).mean()", "'no number'")
    assert wrong != TASK[0]
    (place / "ward" / "task.py").write_text(wrong)
    done = typed("wardround try ward --data tables", place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "FAULT" in done.stderr
    assert "task.py" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "starting the sites" not in done.stdout
