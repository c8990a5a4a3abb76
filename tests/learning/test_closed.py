"""What runs of a task is what was digested: nothing cached, nothing above its folder, nothing beside it."""

from __future__ import annotations

import importlib
import py_compile
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import pytest

from learning.closed import ClosedPackage, libraries
from learning.entry import folder_digest, load_task, task_folder, task_manifest
from learning.manifest import read_manifest
from learning.version import VERSION
from schemas.errors import LocalError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages of tests are found."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def module(place: Path, source: str, name: str = "task.py", package: str = "mine/ward") -> Path:
    folder = place / package
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(dedent(source))
    return folder


def run(place: Path, name: str = "mine.ward.task") -> dict[str, object]:
    """The names that a task's module has after it ran."""
    manifest = read_manifest(place / "mine" / "ward")
    return vars(ClosedPackage(manifest, "mine.ward").module(name))


def test_a_compiled_file_of_other_code_is_never_run(place: Path) -> None:
    """An unchecked hash: Python would take it without a look at task.py."""
    folder = module(place, "word = 'other'")
    cached = Path(importlib.util.cache_from_source(str(folder / "task.py")))
    py_compile.compile(
        str(folder / "task.py"), cfile=str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    (folder / "task.pyc").write_bytes(cached.read_bytes())
    module(place, "word = 'digested'")
    taken = subprocess.run(
        [sys.executable, "-c", "from mine.ward.task import word; print(word)"],
        cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert taken.stdout == "other\n"  # what Python itself does
    assert run(place)["word"] == "digested"
    assert not [path for path in folder.rglob("*.pyc") if path not in (cached, folder / "task.pyc")]


def test_the_package_above_is_not_run_and_code_beside_the_folder_is_refused(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "__init__.py").write_text("raise RuntimeError('the package above ran')")
    (place / "mine" / "helper.py").write_text("word = 'beside'")
    module(place, "word = 1")
    assert run(place)["word"] == 1
    for line in ("from mine import helper", "import mine.helper", "from mine.helper import word"):
        module(place, line)
        with pytest.raises(LocalError, match="no digest covers that"):
            run(place)
    module(place, "from .. import helper")
    with pytest.raises(ImportError, match="beyond top-level"):
        run(place)


def test_a_module_of_the_working_directory_is_refused_with_the_way_out(place: Path) -> None:
    (place / "stray_module.py").write_text("word = 'stray'")
    module(place, "import stray_module")
    with pytest.raises(LocalError, match=r"mine\.ward imports stray_module.*nothing is installed") as refused:
        run(place)
    assert "into the task's folder" in refused.value.hint


def test_an_import_within_a_function_is_held_to_the_same_when_it_runs(place: Path) -> None:
    (place / "stray_module.py").write_text("word = 'stray'")
    module(place, "def later():\n    import stray_module\n    return stray_module.word")
    later = run(place)["later"]
    assert callable(later)
    with pytest.raises(LocalError, match="no digest covers"):
        later()


@pytest.mark.parametrize(
    "room", ["studies.lung.task", "wardround", "participant.training.worker", "protocol", "audit.federation"]
)
def test_of_wardround_a_task_takes_learning_and_the_errors_alone(place: Path, room: str) -> None:
    module(place, f"import {room}")
    with pytest.raises(LocalError, match="in wardround itself"):
        run(place)
    module(place, "from learning.task import Task\nfrom schemas.errors import LocalError\nimport json, numpy, os.path")
    assert "numpy" in run(place)


def test_a_task_may_take_learning_by_the_name_its_author_imports_and_nothing_else_of_the_face(place: Path) -> None:
    folder = module(place, "from wardround.learning import Column, TorchTask\ncolumn = Column('age')")
    assert list(libraries(read_manifest(folder), "mine.ward")) == ["learning.contract", "learning.torch_task"]
    assert "column" in run(place)
    for line in ("import wardround.learning", "from wardround import Federation", "from wardround.cli import main"):
        module(place, line)
        with pytest.raises(LocalError, match="in wardround itself"):
            run(place)


@pytest.mark.parametrize(
    "lines",
    [
        "from .parts import word",
        "from . import parts\nword = parts.word",
        "from .deep.inner import word",
        "from mine.ward.parts import word",
        "import mine.ward.parts as parts\nword = parts.word",
        "import mine.ward.parts\nword = mine.ward.parts.word",
        "from mine.ward import parts\nword = parts.word",
        "from mine import ward\nfrom mine.ward import parts\nword = ward.parts.word",
    ],
)
def test_files_of_the_folder_import_each_other_by_either_name(place: Path, lines: str) -> None:
    module(place, "word = 'sibling'", "parts.py")
    module(place, "from ..parts import word", "deep/inner.py")
    module(place, lines)
    assert run(place)["word"] == "sibling"


def test_the_folders_own_init_runs_and_its_module_may_be_the_task(place: Path) -> None:
    module(place, "from .parts import word", "__init__.py")
    module(place, "word = 'init'", "parts.py")
    assert run(place, "mine.ward")["word"] == "init"


def test_two_versions_of_a_task_live_in_one_process(place: Path) -> None:
    module(place, "word = 1")
    first = run(place)
    module(place, "word = 2")
    assert (first["word"], run(place)["word"]) == (1, 2)


def test_what_is_run_is_what_was_read_when_the_digest_was_made(place: Path) -> None:
    folder = module(place, "word = 'digested'")
    package = ClosedPackage(read_manifest(folder), "mine.ward")
    module(place, "word = 'changed since'")
    assert package.module("mine.ward.task").word == "digested"


def test_a_constant_comes_as_it_was_digested_or_not_at_all(place: Path) -> None:
    folder = module(place, "import pkgutil\ndef table():\n    return pkgutil.get_data(__package__, 'table.csv')")
    (folder / "table.csv").write_bytes(b"1,2\n")
    table = run(place)["table"]
    assert callable(table)
    assert table() == b"1,2\n"
    (folder / "table.csv").write_bytes(b"1,3\n")
    with pytest.raises(LocalError, match="has changed"):
        table()


def test_an_error_names_the_author_s_modules_and_not_ours(place: Path) -> None:
    module(place, "from .absent import word")
    with pytest.raises(LocalError, match=r"No module named 'mine\.ward\.absent'") as absent:
        load_task("mine.ward.task:task")
    assert "the task's own folder" in absent.value.hint


def test_the_libraries_that_a_task_needs_are_found_without_running_it(place: Path) -> None:
    source = (
        "raise SystemExit\nimport numpy.linalg\nfrom learning.task import Task\nfrom .parts import x\nimport stray_m"
    )
    (place / "stray_m.py").write_text("")
    folder = module(place, source)
    module(place, "from json import loads\nthis is no python", "broken.py")
    assert list(libraries(read_manifest(folder), "mine.ward")) == ["numpy.linalg", "learning.task"]


@pytest.fixture
def littered(tmp_path: Path) -> tuple[Path, bytes]:
    """A folder, and its digest before anything was dropped into it."""
    folder = tmp_path / "ward"
    folder.mkdir()
    (folder / "task.py").write_text("task = 1\n")
    return folder, folder_digest(folder)


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store", ".ipynb_checkpoints/task-checkpoint.py", ".git/config", "__pycache__/task.cpython-311.pyc",
        "task.pyc", "task.py~", "#task.py#", ".task.py.swp", "task.py.orig", "Thumbs.db", "sub/.DS_Store",
        "sub/__pycache__/x.py", "plan.toml", "plan_weighted.toml", "README.md", "ward.plan", "ward.initial",
    ],
)  # fmt: skip
def test_litter_plans_and_documents_are_no_part_of_a_task(littered: tuple[Path, bytes], name: str) -> None:
    folder, before = littered
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("word = 'litter'\n")
    manifest = read_manifest(folder)
    assert manifest.digest == before
    assert manifest.left_out == (name,)


@pytest.mark.parametrize("name", ["notes.toml", "sub/plan.toml", "sub/README.md", "weights.bin", "helper.py"])
def test_everything_else_counts(littered: tuple[Path, bytes], name: str) -> None:
    folder, before = littered
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    assert folder_digest(folder) != before


def test_litter_that_lies_in_the_folder_cannot_be_imported(place: Path) -> None:
    module(place, "word = 1", "__pycache__/hidden.py")
    module(place, "from .__pycache__ import hidden")
    with pytest.raises(ImportError):
        run(place)


def test_a_plan_that_was_signed_by_the_first_rule_still_approves_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "ward"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "task.py").write_bytes(b"task = 1\n")
    (folder / "plan.toml").write_bytes(b"study\n")
    (folder / "__pycache__" / "task.pyc").write_bytes(b"x")
    first = sha256()
    for name, content in ((b"plan.toml", b"study\n"), (b"task.py", b"task = 1\n")):
        first.update(len(name).to_bytes(8, "big") + name + len(content).to_bytes(8, "big") + content)
    assert first.digest() != folder_digest(folder)
    assert read_manifest(folder).matches(first.digest())
    (folder / "plan.toml").write_bytes(b"study \n")
    assert not read_manifest(folder).matches(first.digest())


def test_the_digest_of_a_folder_is_known_to_the_byte(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_bytes(b"task = 1\n")
    files = (7).to_bytes(8, "big") + b"task.py" + sha256(b"task = 1\n").digest()
    assert folder_digest(tmp_path) == sha256(b"wardround/task/3" + VERSION.to_bytes(4, "big") + files).digest()
    assert read_manifest(tmp_path).matches(sha256(b"wardround/task/2" + files).digest()), "as plans before have it"


def test_another_version_of_learning_gives_every_task_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.py").write_bytes(b"task = 1\n")
    approved = folder_digest(tmp_path)
    monkeypatch.setattr("learning.manifest.VERSION", VERSION + 1)
    assert not read_manifest(tmp_path).matches(approved)


def test_a_task_is_found_in_a_folder_that_has_the_name_of_an_installed_package(place: Path) -> None:
    module(place, "word = 1", package="studies/own_ward")
    module(place, "raise RuntimeError", "__init__.py", package="studies")
    sys.path.remove(str(place))
    sys.path.append(str(place))
    assert task_folder("studies.own_ward.task:task") == place / "studies" / "own_ward"
    assert task_folder("studies.lung.task:task") != place / "studies" / "lung"


def test_every_study_of_the_repository_is_closed() -> None:
    for name in ("lung", "breast", "heart", "eicu", "linear_regression"):
        entry = f"studies.{name}.task:task"
        assert task_manifest(entry).folder == task_folder(entry)
        assert load_task(entry, digest=folder_digest(task_folder(entry))).parameters() > 0
