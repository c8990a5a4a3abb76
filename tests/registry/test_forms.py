"""The forms of the sections fit the records that they make, and the template that is made from them."""

import pytest

from registry.plans.draft import TaskFacts, plan_from_toml
from registry.plans.forms import PLAN_FORM
from registry.plans.template import plan_template


def test_no_section_calls_two_keys_the_same_and_no_key_by_anothers_name() -> None:
    for form in PLAN_FORM.forms:
        called = [name for key in form.keys.values() for name in key.also]
        assert len(set(called)) == len(called)
        assert not set(called) & set(form.keys)


def test_every_field_of_a_section_is_a_key_or_follows_from_one() -> None:
    """What no author can write, and where it comes from."""
    follows = {
        "task": {"code"}, "evaluation": {"metric", "higher_is_better", "weight"}, "aggregation": {"weight_table"},
        "encoding": {"auxiliary"},
    }  # fmt: skip
    for form in PLAN_FORM.forms:
        if form.record is not None:
            fields = {name for name, _ in form.record._fields()}
            assert fields - {key.field or name for name, key in form.keys.items()} == follows.get(form.name, set())


@pytest.mark.parametrize("sites", [1, 2, 3, 6, 50, 1000])
@pytest.mark.parametrize("parameters", [1, 4096, 4097, 10_000_000, 2**28])
def test_what_plan_init_writes_is_a_plan_and_shows_its_defaults(sites: int, parameters: int) -> None:
    names = [f"site-{number}" for number in range(sites)]
    text = plan_template(
        study="lung", entry="studies.lung.task:task", sites=names, parameters=parameters, metric="auc",
        weight="n-test", higher_is_better=True,
    )  # fmt: skip
    made = plan_from_toml(text, TaskFacts(parameters, b"\x0b" * 32, b"\x0a" * 32, "auc", True))
    assert f"# goal = {made.aggregation.goal} " in text
    assert f"# scale_bits = {made.encoding.scale_bits} " in text
