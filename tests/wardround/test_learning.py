"""What a study's author imports: every name from one place, and nothing before it is asked for."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import learning
import wardround.learning

ROOT = Path(__file__).parents[2]


def imported_for_types(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {
        alias.name
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_name_is_what_its_room_means_by_it() -> None:
    assert set(learning.HOMES) == set(learning.__all__) == set(wardround.learning.__all__)
    for name, home in learning.HOMES.items():
        assert getattr(wardround.learning, name) is getattr(import_module(home), name)
    for path in ("learning/__init__.py", "wardround/learning.py"):
        assert imported_for_types(path) == set(learning.HOMES)


def test_a_name_that_is_not_there_is_an_error_of_the_module_that_was_asked() -> None:
    with pytest.raises(AttributeError, match=r"wardround\.learning has no attribute Pateints"):
        wardround.learning.Pateints  # noqa: B018  # the error is the matter


def test_a_task_without_torch_imports_none() -> None:
    asks = "import sys; from wardround.learning import Column, Task; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
