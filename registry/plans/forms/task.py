"""[task]: which code runs, and what it is told."""

from typing import Any

from registry.plans.form import Form, Making
from registry.plans.keys import Key, Kind
from registry.plans.meaning import PlanMeaning
from schemas.plan import Plan, TaskSpec


def _fields(making: Making) -> dict[str, Any]:
    return {"code": making.facts.code, "options": tuple(sorted(making.values["task"]["options"].items()))}


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    task = plan.task
    return [("task", f"{task.entry}, code {task.code.hex()[:16]}…, {plan.parameters:,} parameters")]


FORM = Form(
    name="task",
    keys={
        "entry": Key(
            Kind.TEXT,
            comment="{parameters:,} parameters, judged by {metric} ({direction} is better)",
            required=True,
            written=lambda new: new.entry,
            also=("code", "module"),
        ),
        "options": Key(Kind.OPTIONS, {}, "texts that the task understands", example={"split": "0"}),
    },
    record=TaskSpec,
    derive=_fields,
    words=_words,
)
