"""The annotated plan.toml that `plan init` writes: what its author has to choose, every other key with its default.

Knows:    the forms say all of it; defaults are read from the plan that the written keys make, so that none can lie.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from registry.plans.draft import draft_of
from registry.plans.form import Form, PlanForm, TaskFacts
from registry.plans.forms import PLAN_FORM
from registry.plans.keys import Beginning, Key, Kind
from schemas.plan import Plan

_HEAD = """\
# The plan of one study: everything its members agree on. Lines with # show the default; take the # away to change it.
# `wardround plan check` says what it means, `wardround plan sign` makes it final.
"""
_COLUMN = 32  # where comments begin


def plan_of_task(entry: str, *, study: str, sites: Sequence[str]) -> str:
    """The text for a task that can be imported here, after asking it once. Raises LocalError."""
    from learning.blame import authors_code
    from learning.entry import load_task, task_folder

    task = load_task(entry)
    with authors_code("asking the task for its model", task_folder(entry)):
        parameters = task.parameters()
    return plan_template(
        study=study,
        entry=entry,
        sites=sites,
        parameters=parameters,
        metric=task.metric,
        weight=task.weight,
        higher_is_better=task.higher_is_better,
    )


def plan_template(
    *, study: str, entry: str, sites: Sequence[str], parameters: int, metric: str, weight: str, higher_is_better: bool
) -> str:
    """The text for a task that says so of itself. Raises LocalError where no plan with these defaults is possible."""
    return template(Beginning(study, entry, tuple(sites), int(parameters), metric, weight, higher_is_better))


def template(new: Beginning, form: PlanForm = PLAN_FORM) -> str:
    written = {
        section.name: {name: key.written(new) for name, key in section.keys.items() if key.written}
        for section in form.forms
    }
    facts = TaskFacts(new.parameters, bytes(32), bytes(32), new.metric, new.higher_is_better, new.weight)
    tables = {name: {key: _plain(value) for key, value in values.items()} for name, values in written.items()}
    plan = draft_of(tables, where="the template", form=form).plan(facts)
    parts = ["\n".join(_section(section, written[section.name], plan, new)) for section in form.forms]
    return "\n\n".join([_HEAD.rstrip("\n"), *parts]) + "\n"


def _section(form: Form, written: dict[str, Any], plan: Plan, new: Beginning) -> Iterator[str]:
    yield from (f"# {line}" for line in form.before)
    yield _line(f"[{form.name}]", form.heading)
    for name, key in form.keys.items():
        if not key.shown or key.kind is Kind.OPTIONS:
            continue
        sign, value = ("", written[name]) if name in written else ("# ", form.shown(name, plan))
        yield _line(f"{sign}{name} = {_toml(value)}", key.comment.format(**new.names))
    for name, key in form.keys.items():
        if key.kind is Kind.OPTIONS:
            yield from _options(form, name, key)


def _options(form: Form, name: str, key: Key) -> Iterator[str]:
    yield ""
    yield _line(f"[{form.name}.{name}]", key.comment)
    yield from (f"# {option} = {_toml(value)}" for option, value in key.example.items())


def _line(text: str, comment: str) -> str:
    return f"{text:<{_COLUMN - 1}} # {comment}" if comment else text


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # texts, numbers, flags and lists of them are written alike


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
