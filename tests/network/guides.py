"""Guides as a person types them: the commands of a document's blocks, word for word, with the names of the test."""

import shlex
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commands_of(document: str, command: str = "wardround") -> list[str]:
    """Every line of a fenced block that begins with the command, in order, without its remark."""
    found, block = [], ""
    for line in (ROOT / "docs" / document).read_text().splitlines():
        if line.startswith("```"):
            block = "" if block else line
        elif block == "```" and line.startswith(f"{command} "):
            found.append(line.partition("  #")[0].strip())
    return found


def words(line: str, names: Mapping[str, str]) -> list[str]:
    """A line as a shell parts it, the document's names exchanged for the test's."""
    for name, own in names.items():
        line = line.replace(name, own)
    return shlex.split(line)
