"""Findings as lines for a person and as values for a script."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from schemas.text import plain
from wardround.doctor.finding import Finding, State, exit_code

SAID_MAX = 2000
_MARKS = {State.OK: "ok", State.WARNING: "warning", State.WRONG: "WRONG", State.SKIPPED: "skipped"}
_NAME = 19


def lines(finding: Finding) -> Iterator[str]:
    """One line; what is not well is followed by what was tried, what to do, and whom to ask."""
    yield f"{_MARKS[finding.state]:<8} {finding.name:<{_NAME}} {plain(finding.seen, SAID_MAX)}".rstrip()
    if finding.state in (State.WARNING, State.WRONG):
        told = (("tried", finding.tried), ("do", finding.do), ("ask", finding.ask))
        yield from (f"{'':<8} {'':<{_NAME}} {word}: {plain(text, SAID_MAX)}" for word, text in told if text)


def summary(findings: Iterable[Finding]) -> str:
    found = list(findings)
    counts = {state: sum(one.state is state for one in found) for state in State}
    if not exit_code(found):
        return f"all is well: {counts[State.OK]} checks"
    told = [f"{counts[State.WRONG]} wrong", f"{counts[State.WARNING]} warnings", f"{counts[State.SKIPPED]} skipped"]
    return f"{', '.join(told)}, {counts[State.OK]} ok; begin with the first that is not ok"


def values(findings: Iterable[Finding]) -> dict[str, Any]:
    """For a script."""
    found = list(findings)
    return {"findings": [asdict(one) for one in found], "exit_code": exit_code(found)}
