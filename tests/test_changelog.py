"""The changelog is what its tool makes of `changes/`: `python -m tests.test_changelog` writes it anew."""

import re
import subprocess
import sys
from pathlib import Path

import mdformat
import pytest

ROOT = Path(__file__).parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
HEAD = """# Changes

What a user notices, newest release first. Each change is a file in `changes/`: a number that no other
has, and a kind. `python -m tests.test_changelog` assembles this page.
"""
KINDS = {"added", "changed", "fixed", "security", "removed"}


def assembled() -> str:
    """The page, as the tool drafts it, wrapped like every document."""
    line = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "Unreleased", "--name", "wardround"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    text = f"{HEAD}\n{done.stdout}"
    return mdformat.text(text, options={"wrap": 100, "compact_tables": True}, extensions={"gfm"})


def test_every_change_has_a_number_of_its_own_and_a_known_kind() -> None:
    names = [path.name for path in (ROOT / "changes").glob("*.md")]
    parts = [re.fullmatch(r"(\d{4})\.(\w+)\.md", name) for name in names]
    assert [name for name, part in zip(names, parts, strict=True) if part is None] == []
    numbers = [part[1] for part in parts if part]
    assert len(set(numbers)) == len(numbers)
    assert {part[2] for part in parts if part} <= KINDS


@pytest.mark.timeout(120)
def test_the_changelog_is_what_the_changes_say() -> None:
    assert CHANGELOG.read_text() == assembled()


if __name__ == "__main__":
    CHANGELOG.write_text(assembled())
