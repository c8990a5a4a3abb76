"""Find a task by `package.module:attribute`, and the digest of its folder, which a plan approves.

Knows:    a digest is compared before a line of the folder is imported.
Imports:  stdlib, schemas.errors, learning.task.   Used by: participant.training, wardround.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from hashlib import sha256
from pathlib import Path

from learning.task import Task
from schemas.errors import FederationError, LocalError

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+:[A-Za-z_]\w*", re.ASCII)
OWN_LIBRARIES = frozenset({"torch", "numpy", "lifelines", "sklearn", "pandas"})  # what `make` installs for tasks
HINT = "name the task as package.module:attribute, for example studies.lung.task:task, and run where it can be imported"


def load_task(entry: str, *, digest: bytes | None = None) -> Task:
    """The task object that `entry` names. With `digest` its folder must have exactly this one.

    Raises LocalError when it cannot be found or imported, is no Task, or its folder differs.
    """
    folder = task_folder(entry)
    if digest is not None and (found := folder_digest(folder)) != digest:
        raise LocalError(
            f"the task folder of {entry} has digest {found.hex()[:16]}…, the plan approves {digest.hex()[:16]}…",
            hint="install the version of the task that the plan names, or have the registrar sign a new plan",
        )
    module, attribute = entry.split(":")
    try:
        task = getattr(importlib.import_module(module), attribute)
    except FederationError:
        raise
    except AttributeError as error:
        raise LocalError(f"{module} has no {attribute}, or fails while it is imported: {error}", hint=HINT) from error
    except Exception as error:  # the task's own code runs here: whatever it raises, the operator gets one line
        raise LocalError(
            f"{module} cannot be imported: {type(error).__name__}: {error}", hint=_import_hint(error)
        ) from error
    if not isinstance(task, Task):
        raise LocalError(f"{entry} is a {type(task).__name__}, not a Task", hint="end the file with: task = MyTask()")
    return task


def _import_hint(error: Exception) -> str:
    """What to do about a task that cannot be imported; never a name to fetch: on an index it may be anybody's."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return "the error is in the task's own code: ask its author"
    library = error.name.partition(".")[0]
    if library in OWN_LIBRARIES:
        return f"this installation is not whole: run `make` in wardround's checkout ({sys.executable} lacks {library})"
    return f"{sys.executable} lacks {library}: ask the task's author which package that is, and at which version"


def task_folder(entry: str) -> Path:
    """The folder that holds the module of `entry`, found without importing any of it."""
    if not ENTRY.fullmatch(entry):
        raise LocalError(f"{entry!r} does not name a task", hint=HINT)
    top, *inner = entry.split(":")[0].split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError) as error:
        raise LocalError(f"no package {top} for task {entry}", hint=HINT) from error
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place).joinpath(*inner)
        if path.with_suffix(".py").is_file():
            return path.parent
        if (path / "__init__.py").is_file():
            return path
    raise LocalError(f"no module {'.'.join((top, *inner))} for task {entry}", hint=f"{HINT}; searched {sys.path[0]!r}")


def folder_digest(folder: Path) -> bytes:
    """SHA-256 over every file of a folder in the order of their relative names; `__pycache__` is left out.

    Each file adds u64 length of its name, the name in UTF-8 with slashes, u64 length of its content, the content
    (big-endian). Raises LocalError for links and other things whose content could change unseen, and unreadable files.
    """
    total = sha256()
    try:
        paths = sorted(
            (path.relative_to(folder).as_posix().encode(), path)
            for path in folder.rglob("*")
            if "__pycache__" not in path.relative_to(folder).parts
        )
        for name, path in paths:
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise LocalError(f"{path} is a link or no plain file", hint="a task's folder holds plain files only")
            if path.is_file():
                content = path.read_bytes()
                total.update(len(name).to_bytes(8, "big") + name + len(content).to_bytes(8, "big") + content)
    except OSError as error:
        raise LocalError(f"the task folder {folder} cannot be read: {type(error).__name__}") from error
    return total.digest()
