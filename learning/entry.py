"""Find a task by `package.module:attribute`, and the digest of its folder, which a plan approves.

Knows:    a digest is compared before a line of the folder is run, and only what was digested is run.
Imports:  stdlib, schemas.errors, learning.task, learning.closed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from learning.closed import ClosedPackage, author_name
from learning.manifest import Manifest, read_manifest
from learning.task import Task
from learning.version import VERSION
from schemas.errors import FederationError, LocalError

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+:[A-Za-z_]\w*", re.ASCII)
OWN_LIBRARIES = frozenset({"torch", "numpy", "lifelines", "sklearn", "pandas"})  # what `make` installs for tasks
HINT = "name the task as package.module:attribute, for example studies.lung.task:task, and run where it can be imported"


def load_task(entry: str, *, digest: bytes | None = None) -> Task:
    """The task object that `entry` names. With `digest` its folder must have exactly this one.

    What runs is what was digested: see learning.closed. Raises LocalError when the task cannot be found or imported, is
    no Task, its folder differs, or its code imports what lies outside of that.
    """
    manifest = task_manifest(entry)
    if digest is not None and not manifest.matches(digest):
        raise LocalError(
            f"the task folder of {entry} has digest {manifest.digest.hex()[:16]}…, the plan approves "
            f"{digest.hex()[:16]}…",
            hint="install the version of the task that the plan names, or have the registrar sign a new plan; "
            "`wardround plan digest PLAN --files` on both sides shows which file differs; where none does, the plan "
            f"was signed with another version of `learning` than the {VERSION} that is installed here",
        )
    module, attribute = entry.split(":")
    package = ClosedPackage(manifest, package_of(entry, manifest.folder))
    try:
        task = getattr(package.module(module), attribute)
    except FederationError:
        raise
    except AttributeError as error:
        said = package.own_words(str(error))
        raise LocalError(f"{module} has no {attribute}, or fails while it is imported: {said}", hint=HINT) from error
    except Exception as error:  # the task's own code runs here: whatever it raises, the operator gets one line
        said = package.own_words(f"{type(error).__name__}: {error}")
        raise LocalError(f"{module} cannot be imported: {said}", hint=_import_hint(error)) from error
    if not isinstance(task, Task):
        raise LocalError(f"{entry} is a {type(task).__name__}, not a Task", hint="end the file with: task = MyTask()")
    return task


def task_manifest(entry: str) -> Manifest:
    """What belongs to a task. Raises LocalError when it is not found, or its folder cannot be read."""
    return read_manifest(task_folder(entry))


def package_of(entry: str, folder: Path) -> str:
    """The dotted name of the folder that holds the module of `entry`: studies.lung for studies.lung.task:task."""
    module = entry.partition(":")[0]
    package, _, last = module.rpartition(".")
    return package if (folder / f"{last}.py").is_file() else module


def module_of(task: Task) -> str:
    """The module that made a task's class, by the name that its author knows."""
    return author_name(type(task).__module__)


def _import_hint(error: Exception) -> str:
    """What to do about a task that cannot be imported; never a name to fetch: on an index it may be anybody's."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return "the error is in the task's own code: ask its author"
    if author_name(error.name) != error.name:
        return (
            "that would be a file of the task's own folder: is it whole? `wardround plan digest PLAN --files` lists it"
        )
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
    found = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    for place in (*found, *(Path(path, top) for path in sys.path)):  # an installed package may have the same name
        path = place.joinpath(*inner)
        if path.with_suffix(".py").is_file():
            return path.parent
        if (path / "__init__.py").is_file():
            return path
    raise LocalError(f"no module {'.'.join((top, *inner))} for task {entry}", hint=f"{HINT}; searched {sys.path[0]!r}")


def folder_digest(folder: Path) -> bytes:
    """What a plan approves of a task: see Manifest.digest. Raises LocalError as read_manifest does."""
    return read_manifest(folder).digest
