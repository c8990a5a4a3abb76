"""Finding a task, and refusing another one than the plan approves, before its code runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from learning.entry import folder_digest, load_task, task_folder
from learning.task import Task
from schemas.errors import LocalError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A package of its own for each test; its task module fails when it is imported, and so does its package."""
    name = f"ward_{abs(hash(request.node.name))}"
    (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('ran')\n")
    (tmp_path / name / "inner" / "task.py").write_text("raise RuntimeError('the task ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_ready_task_is_found_by_name() -> None:
    task = load_task("studies.linear_regression.task:task")
    assert isinstance(task, Task)
    assert task.parameters() == 2


def test_the_approved_digest_lets_it_pass() -> None:
    entry = "studies.linear_regression.task:task"
    assert load_task(entry, digest=folder_digest(task_folder(entry))).metric == "mse"


def test_another_digest_is_refused_before_a_line_runs(package: str) -> None:
    with pytest.raises(LocalError, match="the plan approves 0000"):
        load_task(f"{package}.inner.task:task", digest=bytes(32))
    with pytest.raises(LocalError, match="RuntimeError: the task ran"):
        load_task(f"{package}.inner.task:task")


@pytest.mark.parametrize("entry", ["", "task", "a.b", "a:b", "a.b:c:d", "../a.b:c", "no_such.task:task", "a b.c:d"])
def test_what_names_no_task_is_told_with_a_hint(entry: str) -> None:
    with pytest.raises(LocalError) as caught:
        load_task(entry)
    assert "package.module:attribute" in caught.value.hint


def test_an_attribute_that_is_absent_or_no_task_is_told() -> None:
    with pytest.raises(LocalError, match="has no nothing"):
        load_task("studies.linear_regression.task:nothing")
    with pytest.raises(LocalError, match="is a dict, not a Task"):
        load_task("studies.linear_regression.task:SAMPLES")


def folder(place: Path, name: str) -> Path:
    made = place / name
    (made / "sub").mkdir(parents=True)
    (made / "task.py").write_text("task = 1\n")
    (made / "sub" / "table.csv").write_text("1,2\n")
    return made


def test_the_digest_follows_names_and_contents_alone(tmp_path: Path) -> None:
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "task.pyc").write_bytes(b"x")
    (two / "empty").mkdir()
    assert folder_digest(one) == folder_digest(two)


@pytest.mark.parametrize("change", ["content", "name", "more", "moved"])
def test_any_change_gives_another_digest(tmp_path: Path, change: str) -> None:
    place = folder(tmp_path, "one")
    before = folder_digest(place)
    if change == "content":
        (place / "sub" / "table.csv").write_text("1,3\n")
    elif change == "name":
        (place / "task.py").rename(place / "task2.py")
    elif change == "more":
        (place / "new").write_text("")
    else:
        shutil.move(place / "sub" / "table.csv", place / "table.csv")
    assert folder_digest(place) != before


def test_a_link_is_refused_since_it_could_change_unseen(tmp_path: Path) -> None:
    place = folder(tmp_path, "one")
    (place / "link.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(LocalError, match="link"):
        folder_digest(place)
