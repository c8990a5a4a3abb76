"""What was found when a task was tried: what is well, what to look at, what would fail at hospitals.

Used by:  wardround.trial, wardround.commands.task, wardround.commands.plan.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]
_MARKS: dict[Level, str] = {"ok": "ok", "warning": "warning", "fault": "FAULT"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was tried, what came of it, and what to do about it."""

    level: Level
    what: str
    said: str
    todo: str = ""


def finding_lines(findings: list[Finding]) -> list[str]:
    """As a table for people, faults where they were met."""
    width = max((len(one.what) for one in findings), default=0)
    lines = []
    for one in findings:
        lines.append(f"{_MARKS[one.level]:<8} {one.what:<{width}}  {one.said}")
        if one.todo:
            lines.append(f"{'':<8} {'':<{width}}  → {one.todo}")
    return lines


def count(findings: list[Finding], level: Level) -> int:
    return sum(one.level == level for one in findings)
