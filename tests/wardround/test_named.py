"""What a document names is there: paths, make's targets and variables, commands and their options."""

import argparse
import importlib
import re
import shlex
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_every_path_leads_somewhere(document: Path) -> None:
    links = [(link, part) for link, part in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link, _ in links if not (document.parent / link).exists()] == []
    parts = [(link, part) for link, part in links if part]
    assert [one for one in parts if one[1] not in headings(document.parent / one[0] if one[0] else document)] == []
    paths = {found for words in said(document) for found in PATH.findall(words)}
    assert sorted(path for path in paths if not (ROOT / path).exists() and path not in MADE_UP) == []


MADE_UP = {"studies/ward/task.py", "studies/ward/plan.toml", "changes/NNNN.kind.md", "schemas/plan/version_N.py"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_and_option_that_is_shown_is_there(document: Path) -> None:
    wrong = []
    for words in said(document):
        line = words.removeprefix("$ ").removeprefix(".venv/bin/")
        if not line.startswith("wardround ") or not re.match(r"wardround [a-z]", line):
            continue
        tokens = [word.strip(",;:") for word in shlex.split(line.split(" #")[0], posix=False)][1:]
        if tokens[0] not in COMMANDS:
            wrong.append(line)
            continue
        own, below = options_of(tokens[0])
        subcommand = tokens[1] if len(tokens) > 1 and re.fullmatch(r"[a-z|-]+", tokens[1]) and below else ""
        known = own.union(*(below.get(one, {f"no {one}"}) for one in subcommand.split("|"))) if subcommand else own
        unknown = [word for word in tokens if word.startswith("--") and word.partition("=")[0] not in known]
        if unknown or any(option.startswith("no ") for option in known):
            wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_target_and_variable_of_make_is_there(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) | set(re.findall(r"^([A-Z_]+) [:?]?=", makefile, re.M))
    lines = [re.sub("<[^>]*>", "X", words) for words in said(document) if re.match(r"make( |$)", words)]
    wrong = [
        line
        for line in lines
        for word in line.split(" #")[0].split()[1:]
        if not re.match(r"[A-Z]|[a-z-]+$", word)
        or (re.fullmatch(r"[a-z-]+", word) and word not in targets)
        or ("=" in word and word.partition("=")[0] not in variables)
    ]
    assert wrong == []
