"""Installed is installed: the command and its rooms work in any folder, and no hint sends anybody to a public index."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FETCHES = re.compile(r"(pip|pipx|uv|conda|apt|apt-get) (add|install)")
ASKS = "import wardround, learning, studies.lung, participant.training.worker; print(wardround.__file__)"


def python(line: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a person in `cwd` would, who has no checkout in sight."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def sources() -> Iterator[Path]:
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    for room in rooms:
        yield from (ROOT / room.rstrip("*")).rglob("*.py")


def test_no_text_tells_a_person_to_install_a_name_from_an_index() -> None:
    found = [str(path) for path in sources() if FETCHES.search(path.read_text())]
    assert found == []


def test_what_builds_the_package_is_pinned_as_what_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (needed,) = project["build-system"]["requires"]
    assert re.search(rf"^{re.escape(needed)} ", (ROOT / "requirements" / "base.txt").read_text(), re.MULTILINE)
    assert project["project"]["optional-dependencies"]["build"] == [needed]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with our wheel, built from a copy without network; libraries are those of this one."""
    place = tmp_path_factory.mktemp("wheel")
    copy = place / "copy"
    known = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(known, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in [name for name in names if (ROOT / name).is_file()]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    made = python([*build, "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(copy)], place)
    assert made.returncode == 0, made.stderr
    fresh = place / "fresh"
    venv.create(fresh, with_pip=False)
    (wheel,) = place.glob("*.whl")
    target = next((fresh / "lib").glob("python*")) / "site-packages"
    put = [*build[:3], "--isolated", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]
    made = python([*put, "--target", str(target), str(wheel)], place)
    assert made.returncode == 0, made.stderr
    libraries = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (target / "libraries.pth").write_text(f"import sys; sys.path.append({str(libraries)!r})\n")
    return fresh / "bin" / "python"


def test_a_wheel_in_a_fresh_environment_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    done = python([str(installed), "-c", ASKS], tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(installed.parents[1]) in done.stdout
    done = python([str(installed), "-m", "wardround", "plan", "check", "--help"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_wheel_brings_all_that_pages_kafka_and_studies_need(installed: Path, tmp_path: Path) -> None:
    place = next((installed.parents[1] / "lib").glob("python*")) / "site-packages"
    kept = [path.relative_to(ROOT) for path in ROOT.glob("*/**/*") if path.suffix in (".html", ".css", ".toml")]
    kept = [path for path in kept if path.parts[0] not in ("tests", "requirements", "out", "build", ".venv", ".kafka")]
    kept = [path for path in kept if not path.parts[0].startswith(".")]
    assert len(kept) > 10
    assert [str(path) for path in kept if not (place / path).is_file()] == []


def test_a_wheels_studies_have_the_digest_that_a_checkouts_plan_names(installed: Path, tmp_path: Path) -> None:
    digest = "from learning.entry import *; print(folder_digest(task_folder('studies.lung.task:task')).hex())"
    inside = python([str(installed), "-c", digest], tmp_path)
    here = python([sys.executable, "-c", digest], ROOT)
    assert inside.stdout == here.stdout != "", inside.stderr


def test_the_command_of_this_environment_works_from_any_folder(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("wardround")
    assert command.is_file(), "run `make`"
    done = python([str(command), "plan", "init", "studies.lung.task:task", "--site", "a"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'entry = "studies.lung.task:task"' in done.stdout


def test_the_command_finds_a_task_of_the_folder_it_is_typed_in(tmp_path: Path) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "task.py").write_text((ROOT / "tests" / "participant" / "tiny" / "task.py").read_text())
    command = str(Path(sys.executable).with_name("wardround"))
    done = python([command, "plan", "init", "ward.task:task", "--site", "a", "--out", "ward/plan.toml"], tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "elsewhere").mkdir()
    done = python([command, "plan", "check", str(tmp_path / "ward" / "plan.toml")], tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
