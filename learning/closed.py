"""Imports a task from the bytes of its manifest, and from nothing else of its author's.

Knows:    an import of the task's code goes to the manifest, to `learning` and `schemas`, to the standard library, or to
          what is installed. Each folder's code has a package of its own, named by its digest: two versions of a task
          can be in one process, and what else carries the task's name there is not touched.
Never:    reads a `.pyc`, writes one, runs the `__init__.py` of a package above the folder or a file beside it.
Imports:  stdlib, schemas.errors, learning.manifest.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from learning import HOMES
from learning.manifest import Manifest
from schemas.errors import LocalError

OURS = frozenset({"learning", "schemas"})  # what a task may take of wardround
FACE = "wardround.learning"  # the same under the name that its author imports; its own code takes it from `learning`
NOT_FOR_TASKS = frozenset(
    {
        "audit", "coordinator", "ops", "participant", "protocol", "registry", "rehearsal", "runtime", "simulation",
        "studies", "transport", "wardround",
    }
)  # fmt: skip


class ClosedPackage(InspectLoader):
    """The code of one folder; `package` is the dotted name by which its author knows the folder."""

    def __init__(self, manifest: Manifest, package: str) -> None:
        self.manifest, self.package = manifest, package
        self.root = "task_" + sha256(f"{package}/{manifest.folder}/".encode() + manifest.digest).hexdigest()[:16]
        self._sources = manifest.sources()
        self._builtins = {**vars(builtins), "__import__": self._import}

    def module(self, name: str) -> ModuleType:
        """The module that the author calls `name`, run if it was not yet. Raises whatever its code raises."""
        _FINDER.packages.setdefault(self.root, self)
        return importlib.import_module(self.root + name[len(self.package) :])

    def own_words(self, text: str) -> str:
        """An error's text with the names that the author gave."""
        return text.replace(self.root, self.package)

    # what Python's import asks a loader ----------------------------------------------------------------------------

    def spec(self, fullname: str) -> ModuleSpec | None:
        name = self._file(fullname)
        inner = fullname[len(self.root) + 1 :].replace(".", "/")
        if name is None and not (fullname == self.root or any(one.startswith(f"{inner}/") for one in self._sources)):
            return None
        where = self.manifest.folder / (name or f"{inner}/__init__.py".lstrip("/"))
        spec = ModuleSpec(fullname, self, origin=str(where), is_package=self.is_package(fullname))
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        name = self._file(fullname)
        return name is None or name.endswith("__init__.py")

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._sources.get(self._file(fullname) or "", b""))

    def get_code(self, fullname: str) -> CodeType:
        name = self._file(fullname)
        source = b"" if name is None else self._sources[name]
        code: CodeType = compile(source, str(self.manifest.folder / (name or "")), "exec", dont_inherit=True)
        return code

    def get_data(self, path: str) -> bytes:
        """A constant of the folder, as it was digested: what `pkgutil.get_data(__package__, name)` gives."""
        try:
            return self.manifest.content(Path(path).relative_to(self.manifest.folder).as_posix())
        except (KeyError, ValueError):
            raise FileNotFoundError(f"{path} is no part of the task {self.package}") from None

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102  # the bytes that were digested

    def _file(self, fullname: str) -> str | None:
        inner = fullname[len(self.root) + 1 :].replace(".", "/")
        names = ["__init__.py"] if not inner else [f"{inner}/__init__.py", f"{inner}.py"]
        return next((name for name in names if name in self._sources), None)

    # what the task's own code imports ------------------------------------------------------------------------------

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # as `__import__` has it
        locals: Mapping[str, Any] | None = None,  # noqa: A002  # as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` for the code of this folder. Raises LocalError for what would lie outside what was digested."""
        if level == 0 and f"{name}.".startswith(f"{self.package}."):
            return self._own(name, fromlist or ())
        if level == 0 and self.package.startswith(f"{name}."):
            if fromlist and [*fromlist] != [self.package[len(name) + 1 :].partition(".")[0]]:
                raise _outside(self.package, f"{', '.join(fromlist)} of {name}", "beside the task's folder")
            return self._above(name)
        if level == 0 and not (name == FACE and fromlist) and (where := _place_outside(name.partition(".")[0])):
            raise _outside(self.package, name, where)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _own(self, name: str, fromlist: Sequence[str]) -> ModuleType:
        module = self.module(name)
        if not fromlist:
            return self._above(name.partition(".")[0])
        for word in fromlist:
            inner = f"{module.__name__}.{word}"
            if word != "*" and not hasattr(module, word) and self.spec(inner) is not None:
                importlib.import_module(inner)
        return module

    def _above(self, name: str) -> ModuleType:
        """What a package above the folder is to the task: a name on the way to itself, without the package's code."""
        if name == self.package:
            return self.module(name)
        below = self.package[len(name) + 1 :].partition(".")[0]
        module = ModuleType(name)
        setattr(module, below, self._above(f"{name}.{below}"))
        return module


class _Finder(MetaPathFinder):
    """Serves the packages that were made here; all other names are left to those who come after it."""

    def __init__(self) -> None:
        self.packages: dict[str, ClosedPackage] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = self.packages.get(fullname.partition(".")[0])
        return None if package is None else package.spec(fullname)


_FINDER = _Finder()
sys.meta_path.insert(0, _FINDER)


def author_name(module: str) -> str:
    """A module's dotted name as its author knows it; of a module that is no task's, its own."""
    package = _FINDER.packages.get(module.partition(".")[0])
    return module if package is None else package.own_words(module)


def libraries(manifest: Manifest, package: str) -> Iterator[str]:
    """What the folder's code imports of installed libraries and of `learning`, wherever it does; none of it is run."""
    for source in manifest.sources().values():
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue  # whoever loads the task is told
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                by_name = node.module in (FACE, "learning")
                names = [HOMES.get(one.name, "learning") for one in node.names] if by_name else [node.module]
            for name in names:
                if name.partition(".")[0] != package.partition(".")[0] and not _place_outside(name.partition(".")[0]):
                    yield name


def _outside(package: str, name: str, where: str) -> LocalError:
    return LocalError(
        f"the task {package} imports {name}, which lies {where}: no digest covers that",
        hint="put that code into the task's folder and import it from there: `from .name import …`",
    )


@cache
def _place_outside(top: str) -> str:
    """Where a package lies that a task must not import; empty for one that it may, or that is not there at all."""
    if top in OURS or top in sys.builtin_module_names:
        return ""
    if top in NOT_FOR_TASKS:
        return "in wardround itself"
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # made by hand, without a file
        return ""
    if spec is None or spec.origin in ("built-in", "frozen"):
        return ""
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    installed = _installed()
    for place in places:
        if not any(Path(place).resolve().is_relative_to(folder) for folder in installed):
            return f"at {place}, where nothing is installed"
    return ""


@cache
def _installed() -> tuple[Path, ...]:
    """The folders of the standard library and of what a package manager installs."""
    paths = sysconfig.get_paths()
    names = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    if site.ENABLE_USER_SITE:
        names.append(site.getusersitepackages())
    return tuple(dict.fromkeys(Path(name).resolve() for name in [*names, *site.getsitepackages()]))
