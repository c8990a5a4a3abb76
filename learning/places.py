"""Where tasks are looked for beside what is installed: the working directory, and folders that somebody names.

Knows:    how a task's folder, its entry and the place that both are seen from belong together.
Never:    puts a folder before what is installed: a `json` or a `learning` of its own shadows nothing.
"""

import contextlib
import importlib
import sys
from pathlib import Path

from schemas.errors import LocalError


def look_in(place: Path) -> None:
    """Let packages in `place` be found, after everything else."""
    found = str(place.resolve())
    if found not in sys.path:
        sys.path.append(found)
        importlib.invalidate_caches()


def look_beside(plan: Path, entry: str) -> None:
    """Let the task of a plan be found beside the plan, wherever that lies; a task that lies elsewhere is left alone."""
    with contextlib.suppress(LocalError):
        look_in(place_of(plan.parent, entry))


def place_of(folder: Path, entry: str) -> Path:
    """The folder from which `entry` names the task in `folder`: /home/me for ward.task:task in /home/me/ward.

    Raises LocalError when the entry names another folder.
    """
    folder, parts = folder.resolve(), entry.partition(":")[0].split(".")
    packages = parts[:-1] if (folder / f"{parts[-1]}.py").is_file() else parts
    if not packages or folder.parts[-len(packages) :] != tuple(packages):
        raise LocalError(
            f"the task {entry} does not lie in {folder}",
            hint=f"the entry of a file task.py there is {'.'.join([*packages[:-1], folder.name])}.task:task",
        )
    return folder.parents[len(packages) - 1]


def entry_of(folder: Path) -> str:
    """The entry of the task in `folder`: package.task:task, where packages are folders with an `__init__.py`.

    Raises LocalError without a task.py, and for a folder whose name Python cannot import.
    """
    folder = folder.resolve()
    if not (folder / "task.py").is_file():
        raise LocalError(
            f"{folder} has no task.py", hint="a study is a folder with a task.py; studies/README.md shows one"
        )
    packages = [folder.name]
    above = folder.parent
    while (above / "__init__.py").is_file():
        packages.insert(0, above.name)
        above = above.parent
    for name in packages:
        if not (name.isidentifier() and name.isascii()):
            raise LocalError(
                f"a task cannot be imported from a folder called `{name}`",
                hint="rename it: letters without accents, digits and _, not a digit first",
            )
    return ".".join([*packages, "task:task"])
