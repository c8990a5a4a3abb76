"""[study]: its name, and what version 0 follows from."""

from typing import Any

from registry.plans.form import Form, Making
from registry.plans.keys import Key, Kind
from registry.plans.meaning import PlanMeaning
from schemas.plan import Plan
from schemas.text import plain


def _fields(making: Making) -> dict[str, Any]:
    given, facts = making.values["study"], making.facts
    return {
        "study": given["id"],
        "title": given["title"] or given["id"],
        "seed": given["seed"],
        "parameters": facts.parameters,
        "initial": facts.initial,
    }


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    return [("study", f"{plan.study}: {plain(plan.title)}"), ("plan", plan.digest.hex())]


FORM = Form(
    name="study",
    keys={
        "id": Key(Kind.ID, required=True, written=lambda new: new.study, also=("name", "study")),
        "title": Key(Kind.TEXT, "", written=lambda new: new.study, also=("description",)),
        "seed": Key(Kind.WHOLE, 0, "version 0 and the order of patients follow from it", written=lambda _: 0),
    },
    derive=_fields,
    words=_words,
)
