"""A plan as its author writes it: what is left out, what a preset sets, what the author says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plans.draft import TaskFacts, plan_from_toml
from registry.plans.meaning import meaning
from schemas.errors import LocalError
from tests.registry.plans import FACTS, SMALLEST, plan, text_of, toml


def test_the_metrics_that_may_leave_are_those_it_judges_by_and_those_its_author_adds() -> None:
    assert plan().evaluation.metrics == ("c-index", "n-test")
    assert plan(evaluation={"metrics": ["brier"]}).evaluation.metrics == ("brier", "c-index", "n-test")
    with pytest.raises(LocalError, match=r"evaluation\.metrics: 'AUC' is no id"):
        plan(evaluation={"metrics": ["AUC"]})


def test_a_target_beyond_63_bits_of_millionths_is_a_target() -> None:
    assert plan_from_toml(SMALLEST + "target = 2.4e22", FACTS).stop.target == 2.4e22


@pytest.mark.parametrize(
    ("preset", "goal", "minimum", "deadline_ms", "weights"),
    [
        ("fedavg", 6, 3, 600_000, (16, 16, 16, 16)),
        ("fedbuff", 4, 3, 600_000, (16, 11, 9, 8)),
        ("fedasync", 1, 1, 0, (16, 11, 9, 8)),
    ],
)
def test_a_preset_sets_goal_minimum_deadline_and_table_together(
    preset: str, goal: int, minimum: int, deadline_ms: int, weights: tuple[int, ...]
) -> None:
    rule = plan(aggregation={"preset": preset}).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_min, rule.cohort_max) == (goal, minimum, minimum, goal)
    assert rule.deadline_ms == deadline_ms
    assert rule.weight_table[:4] == weights


def test_what_the_author_says_goes_before_the_preset() -> None:
    chosen = {"preset": "fedavg", "goal": 5, "deadline_s": 1.5, "staleness": "hinge", "late_from": 1, "slope": 1}
    rule = plan(aggregation=chosen).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_max, rule.deadline_ms) == (5, 3, 5, 1500)
    assert rule.weight_table[:4] == (16, 16, 8, 5)


def test_a_smaller_goal_takes_minimum_and_floor_along() -> None:
    rule = plan(aggregation={"goal": 2}).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_min, rule.deadline_ms) == (2, 2, 2, 0)


def test_a_large_model_may_move_one_coordinate_by_an_eighth_of_the_clip() -> None:
    large = plan_from_toml(SMALLEST, TaskFacts(4097, b"\x0b" * 32, b"\x0a" * 32, "c-index", True))
    assert (large.encoding.clip_inf, large.encoding.scale_bits) == (0.125, 27)


def test_steps_replace_epochs() -> None:
    assert (plan(training={"steps": 3}).training.steps, plan(training={"steps": 3}).training.epochs) == (3, 0)


def test_absence_becomes_an_auxiliary_coordinate_and_the_largest_share_grows() -> None:
    made = plan(aggregation={"absence_cap": 8})
    assert made.encoding.auxiliary == (("absence", 8.0, 21),)
    assert (made.aggregation.examples, made.aggregation.absence_cap) == (None, 8)
    assert plan(aggregation={"absence_cap": 1}) == plan()
    assert meaning(made, 600.0).share_most == pytest.approx(32 / 34)  # eight times fresh beside two that are stale


def test_where_absence_weighs_the_servers_rate_makes_up_for_the_cap() -> None:
    """Updates travel divided by 8, and 4 of 6 sites are in a cohort."""
    assert plan(aggregation={"absence_cap": 8, "server_lr": 0.5}).aggregation.server_lr == 0.5 * 8 * 4 / 6
    adam = {"absence_cap": 8, "server_lr": 0.5, "server_optimiser": "adam"}
    assert plan(aggregation=adam).aggregation.server_lr == 0.5


def test_examples_become_an_auxiliary_coordinate() -> None:
    weighed = plan(aggregation={"examples": True, "examples_max": 100})
    assert weighed.encoding.auxiliary == (("examples", 1.0, 24),)
    rule = weighed.aggregation
    assert (rule.examples, rule.examples_max) == ("examples", 100)


def test_a_target_is_kept_as_it_was_given_and_options_are_sorted() -> None:
    text = SMALLEST.replace("versions = 20", "versions = 20\ntarget = 0.85") + '[task.options]\nz = "1"\na = "2"\n'
    made = plan_from_toml(text, FACTS)
    assert made.stop.target == 0.85
    assert made.task.options == (("a", "2"), ("z", "1"))


@given(
    sites=st.integers(1, 200),
    preset=st.sampled_from(["fedavg", "fedasync", "fedbuff"]),
    p=st.integers(1, 10**6),
)
def test_every_preset_fits_any_number_of_sites(sites: int, preset: str, p: int) -> None:
    names = [f"site-{i}" for i in range(sites)]
    text = SMALLEST.replace('["a", "b", "c", "d", "e", "f"]', toml(names)) + text_of(
        {"aggregation": {"preset": preset}}
    )
    made = plan_from_toml(text, TaskFacts(p, b"\x0b" * 32, b"\x0a" * 32, "accuracy", True))
    assert made.aggregation.goal <= made.sites_expected
