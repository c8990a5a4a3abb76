"""Where tasks are found beside what is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from learning.places import entry_of, place_of
from schemas.errors import LocalError


def folder(place: Path, *names: str) -> Path:
    made = place.joinpath(*names)
    made.mkdir(parents=True)
    (made / "task.py").write_text("task = 1\n")
    return made


def test_a_folder_is_its_own_package_and_packages_above_it_count(tmp_path: Path) -> None:
    alone, inner = folder(tmp_path, "Süd (2)", "ward"), folder(tmp_path, "studies", "ward")
    (inner.parent / "__init__.py").touch()
    assert entry_of(alone) == "ward.task:task"
    assert entry_of(inner) == "studies.ward.task:task"
    assert place_of(alone, entry_of(alone)) == alone.parent
    assert place_of(inner, entry_of(inner)) == tmp_path


@pytest.mark.parametrize("name", ["my ward", "süd", "2ward", "my-ward"])
def test_a_folder_that_python_cannot_import_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalError, match=f"`{name}`") as caught:
        entry_of(folder(tmp_path, name))
    assert "rename" in caught.value.hint


def test_a_folder_without_a_task_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"no task\.py"):
        entry_of(tmp_path)


def test_an_entry_that_names_another_folder_is_told_with_the_right_one(tmp_path: Path) -> None:
    copy = folder(tmp_path, "mine")
    with pytest.raises(LocalError, match="does not lie in") as caught:
        place_of(copy, "studies.lung.task:task")
    assert "mine.task:task" in caught.value.hint


def test_what_is_installed_is_never_shadowed(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("raise RuntimeError\n")
    code = "import sys; from pathlib import Path; from learning.places import look_in\n"
    code += "look_in(Path(sys.argv[1])); sys.modules.pop('json', None); import json; print(json.dumps(1))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
