"""What a document names is there: paths, make's targets and variables, commands and their options."""

import argparse
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.child import ROOT
from wardround.cli import COMMANDS

DOCUMENTS = [
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/operations/*.md",
        "docs/lab/*.md",
        "docs/decisions/*.md",
        "studies/*.md",
        "studies/*/*.md",
        "conformance/*.md",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^ *```(?:sh|console|bash)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"docs", "requirements", "conformance", "changes"}
PATH = re.compile(rf"(?:{'|'.join(sorted(ROOMS))})/[\w./-]*\.(?:py|md|toml|json|txt|html)")


def said(path: Path) -> list[str]:
    """Code spans and the lines of code blocks, continued lines as one."""
    text = path.read_text()
    blocks = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    return [*SPAN.findall(FENCE.sub("", text)), *(line.strip() for block in blocks for line in block.splitlines())]


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made where it is shown."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def options_of(command: str) -> tuple[set[str], dict[str, set[str]]]:
    """The options of a command itself, and of each of its subcommands."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"wardround.commands.{COMMANDS[command][0]}").add_arguments(parser)
    own = {word for action in parser._actions for word in action.option_strings}
    below: dict[str, set[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                below[name] = {word for inner in one._actions for word in inner.option_strings}
    return own, below


def lost(document: Path) -> list[str]:
    """Links and paths that lead nowhere."""
    links = [(link, part) for link, part in LINK.findall(document.read_text()) if "://" not in link]
    gone = [link for link, _ in links if not (document.parent / link).exists()]
    parts = [(document.parent / link if link else document, part) for link, part in links if part and link not in gone]
    paths = {found for words in said(document) for found in PATH.findall(words)}
    return [
        *gone,
        *(f"{target.name}#{part}" for target, part in parts if part not in headings(target)),
        *sorted(path for path in paths if not (ROOT / path).exists() and path not in MADE_UP),
    ]


MADE_UP = {"studies/ward/task.py", "studies/ward/plan.toml", "changes/NNNN.kind.md", "schemas/plan/version_N.py"}


def unknown_commands(document: Path) -> list[str]:
    """Lines of our command that name a subcommand or an option that is not there."""
    return [line for words in said(document) if (line := _command(words)) and not _is_known(line)]


def _command(words: str) -> str:
    line = words.removeprefix("$ ").removeprefix(".venv/bin/")
    return line if re.match(r"wardround [a-z]", line) else ""


def _is_known(line: str) -> bool:
    name, *rest = [word.strip(",;:") for word in shlex.split(line.split(" #")[0], posix=False)][1:]
    if name not in COMMANDS:
        return False
    own, below = options_of(name)
    subcommands = rest[0].split("|") if below and rest and re.fullmatch(r"[a-z|-]+", rest[0]) else []
    if not below.keys() >= set(subcommands):
        return False
    known = own.union(*(below[one] for one in subcommands))
    return all(word.partition("=")[0] in known for word in rest if word.startswith("--"))


def unknown_targets(document: Path) -> list[str]:
    """Lines of make that name a target or a variable that is not there."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) | set(re.findall(r"^([A-Z_]+) [:?]?=", makefile, re.M))

    def is_known(word: str) -> bool:
        return word.partition("=")[0] in variables if "=" in word else word in targets

    lines = [re.sub("<[^>]*>", "X", words) for words in said(document) if re.match(r"make( |$)", words)]
    return [line for line in lines if not all(map(is_known, line.split(" #")[0].split()[1:]))]


CHECKS = (lost, unknown_commands, unknown_targets)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_names_is_there(document: Path, check: Callable[[Path], list[str]]) -> None:
    assert check(document) == []


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("see [there](nowhere.md)", lost),
        ("see [there](#no-such-heading)", lost),
        ("see `docs/nowhere.md`", lost),
        ("type `wardround nothing`", unknown_commands),
        ("type `.venv/bin/wardround plan nothing`", unknown_commands),
        ("```\nwardround plan check plan.toml --nothing\n```", unknown_commands),
        ("```\nwardround compare studies/lung \\\n  --nothing 3\n```", unknown_commands),
        ("`make nothing`", unknown_targets),
        ("`make test NOTHING=3`", unknown_targets),
    ],
)
def test_the_check_itself_finds_what_is_not_there(
    tmp_path: Path, text: str, check: Callable[[Path], list[str]]
) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"# A heading\n\n{text}\n")
    assert len(check(document)) == 1


def test_the_check_itself_lets_pass_what_is_there(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(
        "# A heading\n\n[here](#a-heading), `docs/wire.md`, `wardround plan check --json`, `make demo`\n"
    )
    assert [check(document) for check in CHECKS] == [[], [], []]
