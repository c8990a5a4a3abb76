"""From a plan as its author writes it (TOML, most keys left out) to the Plan that is signed.

Knows:    how the forms of the sections are read, filled in, and put together; all mistakes are named at once.
Never:    runs a task or reads a file: what only the task can tell comes in as TaskFacts.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.plans.form import Making, PlanForm, TaskFacts
from registry.plans.forms import PLAN_FORM
from registry.plans.unknown import unknown_key, unknown_section
from schemas.errors import LocalError
from schemas.plan import Plan

__all__ = ["Draft", "TaskFacts", "draft_of", "plan_from_toml", "read_draft"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan's text with every type checked and plain defaults filled in; only the task's facts are missing."""

    where: str
    values: Mapping[str, Mapping[str, Any]]
    form: PlanForm = field(default=PLAN_FORM, repr=False)

    @property
    def study(self) -> str:
        return str(self.values["study"]["id"])

    @property
    def seed(self) -> int:
        return int(self.values["study"]["seed"])

    @property
    def entry(self) -> str:
        return str(self.values["task"]["entry"])

    @property
    def options(self) -> Mapping[str, str]:
        return dict(self.values["task"]["options"])

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.values["members"]["sites"])

    def plan(self, facts: TaskFacts) -> Plan:
        """The whole plan. Raises LocalError naming every section.key that is wrong."""
        making = Making(self.values, facts)
        for form in self.form.forms:
            form.fill(making)
        if making.problems:
            raise _refused(self.where, making.problems)
        try:
            return self.form.record(**making.fields)
        except ValueError as error:
            raise _refused(self.where, [str(error)]) from None


def read_draft(text: str, *, where: str = "plan.toml") -> Draft:
    """Parse and check a plan's text. Raises LocalError with all unknown keys, wrong types and missing keys at once."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalError(f"{where}: not valid TOML: {error}") from None
    return draft_of(tables, where=where)


def draft_of(tables: Mapping[str, Any], *, where: str = "plan.toml", form: PlanForm = PLAN_FORM) -> Draft:
    """Check a plan's parsed text. Raises LocalError with all unknown keys, wrong types and missing keys at once."""
    forms = form.sections
    problems = [one for name in tables if name not in forms for one in unknown_section(name, tables[name], forms)]
    for name, table in tables.items():
        if name in forms and isinstance(table, dict):
            problems += [unknown_key(name, key, forms) for key in table if key not in forms[name].keys]
    values = {name: section.read(tables.get(name, {}), problems) for name, section in forms.items()}
    if problems:
        raise _refused(where, problems)
    return Draft(where, values, form)


def plan_from_toml(text: str, facts: TaskFacts, *, where: str = "plan.toml") -> Plan:
    """Text and facts to a Plan; see Draft for what the text alone tells."""
    return read_draft(text, where=where).plan(facts)


def _refused(where: str, problems: list[str]) -> LocalError:
    if len(problems) == 1:
        return LocalError(f"{where}: {problems[0]}")
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return LocalError(f"{where}: {len(problems)} problems{listed}")
