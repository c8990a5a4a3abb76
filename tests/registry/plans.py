"""The smallest plan that an author can write, and the same with keys added."""

from typing import Any

from registry.plans.draft import TaskFacts, plan_from_toml
from schemas.plan import Plan

FACTS = TaskFacts(parameters=7, code=b"\x0b" * 32, initial=b"\x0a" * 32, metric="c-index", higher_is_better=True)
SMALLEST = """
[study]
id = "lung"
[members]
sites = ["a", "b", "c", "d", "e", "f"]
[task]
entry = "studies.lung.task:task"
[stop]
versions = 20
"""
# The plan of SMALLEST in schema versions 2, 3 and 4, laid out by hand: tests/vectors/make_plans.py.


def plan(**tables: dict[str, Any]) -> Plan:
    """SMALLEST with keys of sections added: `plan(training={"steps": 3})`."""
    return plan_from_toml(SMALLEST + text_of(tables), FACTS)


def text_of(tables: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in table.items()]
    return "\n".join(lines)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
