"""A plan in words for a terminal and in values for a script: what `plan check` prints."""

from dataclasses import asdict
from typing import Any

from registry.plans.form import PlanForm
from registry.plans.forms import PLAN_FORM
from registry.plans.meaning import meaning
from schemas.plan import Plan


def plan_values(plan: Plan, round_s: float) -> dict[str, Any]:
    """The same facts as `plan_lines`, units in the names."""
    leaves = {"metrics": list(plan.evaluation.metrics), "test_min": plan.evaluation.test_min}
    return {
        "study": plan.study,
        "plan": plan.digest.hex(),
        **leaves,
        **asdict(meaning(plan, round_s)),
        "warnings": warnings_of(plan, round_s),
        "off": off_of(plan),
    }


def plan_lines(plan: Plan, round_s: float, form: PlanForm = PLAN_FORM) -> list[str]:
    """One fact a line, what deserves a second look last."""
    means = meaning(plan, round_s)
    facts = [fact for section in form.forms for fact in section.words(plan, means)]
    facts += [("off", text) for text in off_of(plan, form)]
    facts += [("look again", text) for text in warnings_of(plan, round_s, form)]
    width = max(len(name) for name, _ in facts)
    return [f"{name:<{width}}  {text}" for name, text in facts]


def warnings_of(plan: Plan, round_s: float, form: PlanForm = PLAN_FORM) -> list[str]:
    """What deserves a second look, if a version takes `round_s` seconds."""
    return [text for section in form.forms for text in section.warnings(plan, round_s)]


def off_of(plan: Plan, form: PlanForm = PLAN_FORM) -> list[str]:
    """Protections that this plan does without."""
    return [text for section in form.forms for text in section.off(plan)]
