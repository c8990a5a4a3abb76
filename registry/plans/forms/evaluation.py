"""[evaluation]: what sites measure, and what of it may leave."""

from typing import Any

from registry.plans.form import Form, Making
from registry.plans.keys import Key, Kind
from registry.plans.meaning import PlanMeaning
from schemas.plan import WEIGHT_MAX, EvaluationRule, Plan

TEST_MIN = 5  # below five, counts of patients are small cells: an AUC of them tells who had the event


def _fields(making: Making) -> dict[str, Any]:
    facts = making.facts
    return {
        "metric": facts.metric,
        "higher_is_better": facts.higher_is_better,
        "weight": facts.weight,
        "metrics": tuple(sorted({facts.metric, facts.weight, *making.values["evaluation"]["metrics"]})),
    }


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    rule = plan.evaluation
    often = "each version" if rule.every == 1 else f"every {rule.every}th version"
    smallest = f" from {rule.test_min} test patients on" if rule.test_min > 1 else ""
    text = f"of {often} its {', '.join(rule.metrics)}{smallest}; no other metric, whatever the task measures"
    return [("leaves a site", text)]


FORM = Form(
    name="evaluation",
    keys={
        "every": Key(Kind.WHOLE, 1, "each n-th version is tested at each site"),
        "bootstrap": Key(Kind.WHOLE, 1000, "resamples for the interval", also=("resamples",)),
        "alone": Key(Kind.FLAG, True, "also train without the others, for comparison", also=("baseline", "local")),
        "metrics": Key(
            Kind.IDS, (), "what else may leave a site than {metric} and {weight}: names of the task's metrics"
        ),
        "test_min": Key(Kind.WHOLE, TEST_MIN, "a site with fewer test patients keeps to itself what it measures"),
        "weight_max": Key(
            Kind.NUMBER,
            WEIGHT_MAX,
            "where versions are judged, a site weighs at most so many times the one in the middle",
        ),
    },
    record=EvaluationRule,
    derive=_fields,
    words=_words,
)
