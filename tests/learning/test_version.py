"""Nobody changes what `learning` computes for a task without looking at its version: part of each task's digest.

`python -m tests.learning.test_version` notes the present state, once VERSION has risen where it has to.
"""

import ast
from hashlib import sha256
from pathlib import Path

from learning.version import VERSION

NOTE = Path(__file__).with_name("version.txt")
LEARNING = Path(__file__).parents[2] / "learning"
# Which task is loaded, how, and what is said of it: nothing of these is computed with.
OTHERS = frozenset({"advice", "blame", "closed", "entry", "invented", "manifest", "places", "torch_checks", "version"})


def state() -> str:
    """The version, and a digest of the modules that a task computes with: code alone, no comments or docstrings."""
    total = sha256()
    for path in sorted(LEARNING.glob("*.py")):
        if path.stem not in OTHERS:
            total.update(path.stem.encode() + b"\0" + _code(path).encode())
    return f"{VERSION} {total.hexdigest()}\n"


def _code(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def test_what_learning_computes_is_what_its_version_stands_for() -> None:
    assert NOTE.read_text() == state(), (
        "learning has changed. Can a task's update, metric or table come out otherwise? Then raise "
        "learning/version.py, and say so in docs/decisions and changes/. "
        "In either case: python -m tests.learning.test_version"
    )


if __name__ == "__main__":
    NOTE.write_text(state())
