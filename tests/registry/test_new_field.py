"""A field that is added to a section, and a section that is added to a plan, touch two files each: record and form.

The field and the section are made up here, in the places that CONTRIBUTING.md names; all that users and authors
meet follows from them.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import pytest

from registry.plans.draft import TaskFacts, draft_of
from registry.plans.form import Form, PlanForm
from registry.plans.forms import PLAN_FORM, training
from registry.plans.keys import Beginning, Key, Kind
from registry.plans.meaning import PlanMeaning
from registry.plans.template import template
from registry.plans.words import plan_lines
from schemas.codec import Nested, U, Whole
from schemas.errors import LocalError
from schemas.plan import Plan, Section, Training

FACTS = TaskFacts(parameters=7, code=b"\x0b" * 32, initial=b"\x0a" * 32, metric="c-index", higher_is_better=True)
TABLES: dict[str, dict[str, Any]] = {
    "study": {"id": "lung"}, "members": {"sites": ["a", "b", "c"]}, "task": {"entry": "studies.lung.task:task"},
    "stop": {"versions": 20},
}  # fmt: skip
NEW = Beginning("lung", "studies.lung.task:task", ("a", "b", "c"), 7, "c-index", "n-test", higher_is_better=True)


@dataclass(frozen=True, slots=True)
class WarmTraining(Training):
    """The record's file: one line for the field, a sentence in `problems` for its rule."""

    warmup_steps: Annotated[int, Whole(0, 1000)]  #: steps in which the rate rises to its value; 0: none

    def problems(self) -> list[str]:
        late = self.steps and self.warmup_steps >= self.steps
        found = Training.problems(self)
        return [*found, "training.warmup_steps must be below steps"] if late else found


@dataclass(frozen=True, slots=True)
class Rest(Section):
    """A whole new section."""

    quiet_s: U  #: seconds between two updates of a site; 0: none


@dataclass(frozen=True, slots=True)
class NewPlan(Plan):
    VERSION: ClassVar[int] = 5
    training: Annotated[WarmTraining, Nested(WarmTraining)]
    rest: Annotated[Rest, Nested(Rest)]


def _warm_words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    assert isinstance(plan, NewPlan)
    found = training.FORM.words(plan, means)
    return [*found, ("warm-up", f"{plan.training.warmup_steps} steps")] if plan.training.warmup_steps else found


WARMUP = Key(Kind.WHOLE, 0, "steps in which the rate rises", also=("warmup",))
WARM_FORM = replace(
    training.FORM, record=WarmTraining, keys={**training.FORM.keys, "warmup_steps": WARMUP}, words=_warm_words
)
REST_FORM = Form(name="rest", keys={"quiet_s": Key(Kind.WHOLE, 0, "seconds between updates")}, record=Rest)
FORM = PlanForm(
    (*(WARM_FORM if form is training.FORM else form for form in PLAN_FORM.forms), REST_FORM), record=NewPlan
)


def made(**tables: dict[str, Any]) -> NewPlan:
    plan = draft_of({**TABLES, **tables}, form=FORM).plan(FACTS)
    assert isinstance(plan, NewPlan)
    return plan


def test_a_new_field_is_read_and_has_its_default() -> None:
    assert made(training={"steps": 9, "warmup_steps": 3}, rest={"quiet_s": 60}).training.warmup_steps == 3
    assert (made().training.warmup_steps, made().rest.quiet_s) == (0, 0)


def test_a_new_field_is_part_of_the_bytes_and_of_the_digest() -> None:
    plan, other = made(), made(training={"steps": 9, "warmup_steps": 3})
    assert plan.digest == hashlib.sha256(plan.to_bytes()).digest() != other.digest
    assert NewPlan.from_bytes(other.to_bytes()) == other
    assert plan.to_bytes().endswith(bytes.fromhex("91 00"))  # [rest]: one field, 0


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"training": {"warmup_steps": 1.5}}, "training.warmup_steps must be a whole number, got 1.5 (float)"),
        ({"training": {"warmup_steps": 2000}}, "training.warmup_steps: 2000 is no integer within 0..1000"),
        ({"training": {"steps": 3, "warmup_steps": 3}}, "training.warmup_steps must be below steps"),
        ({"training": {"warmup": 3}}, "unknown key training.warmup; it is called `warmup_steps` here"),
        ({"training": {"warmup_step": 3}}, "unknown key training.warmup_step; did you mean `warmup_steps`?"),
        ({"training": {"quiet_s": 3}}, "unknown key training.quiet_s; write `quiet_s` in [rest]"),
        ({"rest": {"quiet_s": -1}}, "rest.quiet_s: -1 is no integer within 0.."),
    ],
)
def test_every_mistake_with_a_new_field_is_named(tables: dict[str, dict[str, Any]], reason: str) -> None:
    with pytest.raises(LocalError) as caught:
        made(**tables)
    assert reason in str(caught.value)


def test_a_new_field_has_its_words_in_plan_check_and_its_line_in_the_template() -> None:
    assert any(
        line.split() == ["warm-up", "3", "steps"]
        for line in plan_lines(made(training={"steps": 9, "warmup_steps": 3}), 600.0, FORM)
    )
    lines = template(NEW, FORM).splitlines()
    assert "# warmup_steps = 0              # steps in which the rate rises" in lines
    assert lines[-2:] == ["[rest]", "# quiet_s = 0                   # seconds between updates"]
