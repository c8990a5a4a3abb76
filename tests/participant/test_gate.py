"""The one way out: what policy does not name stays in the hospital."""

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from participant.settings import Policy
from participant.shell.gate import Gate, What
from schemas.plan import WEIGHT_MAX, EvaluationRule, PlanOfVersion2
from schemas.records import Measurements
from tests.participant.driving import plan
from tests.schemas.plans import changed

VALUES = {"accuracy": 0.5, "accuracy-low": 0.4, "alone-accuracy": 0.3, "loss": 2.0, "n-test": 12.0, "bytes-up": 9.0}
PLAN = changed(evaluation={"metrics": ("accuracy", "loss", "n-test"), "test_min": 10})


def out(policy: Policy, values: dict[str, float] = VALUES) -> set[str]:
    return set(Gate(policy).let_out(What.EVALUATION, values, PLAN))


def test_everything_that_the_approved_plan_names_may_leave_by_default() -> None:
    assert out(Policy()) == set(VALUES)


def test_a_name_that_the_plan_does_not_let_out_stays_whatever_policy_says() -> None:
    strange = {f"patient-4711-john-doe-{number}": 1.0 for number in range(47)}
    assert out(Policy(), VALUES | strange | {"alone-brier": 0.1, "accuracy-low-low": 0.1}) == set(VALUES)


def test_invented_names_are_told_a_few_times_and_not_for_ever(logs: Any) -> None:
    gate = Gate(Policy())
    for number in range(1000):
        gate.let_out(What.EVALUATION, VALUES | {f"patient-{number}": 1.0}, PLAN)
    assert len(logs) == 21


def test_a_name_that_is_longer_than_a_record_takes_stays_and_the_others_leave() -> None:
    """Plans of version 2 allowed metrics of 40 characters, and what is made of their names is longer."""
    long = "m" * 40
    rule = EvaluationRule(1, long, True, "n-test", 200, True, (long, "n-test"), 1, WEIGHT_MAX)
    of_version_2 = PlanOfVersion2(
        **{field.name: getattr(PLAN, field.name) for field in fields(PLAN)} | {"evaluation": rule}
    )
    values = {long: 0.5, f"alone-{long}": 0.4, f"{long}-low": 0.1, "n-test": 12.0}
    allowed = Gate(Policy()).let_out(What.EVALUATION, values, of_version_2)
    assert set(allowed) == {long, "n-test"}
    assert Measurements(tuple(sorted(allowed.items()))).values


def test_of_too_few_test_patients_nothing_leaves_that_is_measured_on_them(logs: Any) -> None:
    """Not even how few they are; and it is said."""
    gate = Gate(Policy())
    for _ in range(3):
        assert set(gate.let_out(What.EVALUATION, VALUES | {"n-test": 9.0}, PLAN)) == {"bytes-up"}
    assert [line["log_level"] for line in logs] == ["warning"]
    assert logs[0]["fewer_than"] == 10


def test_a_site_may_ask_for_more_test_patients_than_the_plan() -> None:
    assert out(Policy(test_min=13)) == {"bytes-up"}
    assert out(Policy(test_min=12)) == set(VALUES)


def test_without_word_of_the_test_set_it_counts_as_too_small() -> None:
    assert out(Policy(), {"accuracy": 0.5, "bytes-up": 9.0}) == {"bytes-up"}


def test_only_named_metrics_leave_with_their_intervals_and_baseline() -> None:
    assert out(Policy(share_metrics=("accuracy",))) == {
        "accuracy", "accuracy-low", "alone-accuracy", "n-test", "bytes-up",
    }  # fmt: skip


def test_usage_stays_when_policy_says_so() -> None:
    assert out(Policy(share_usage=False)) == set(VALUES) - {"n-test", "bytes-up"}


def test_nothing_of_an_evaluation_leaves_when_policy_says_so() -> None:
    assert out(Policy(share_evaluations=False)) == set()


def test_what_is_no_finite_number_or_no_id_stays() -> None:
    numbers = {"accuracy": math.nan, "loss": math.inf, "Patient 4711": 1.0, "n-test": 12.0}
    assert out(Policy(), numbers) == {"n-test"}
    assert out(Policy(), {"accuracy": 1e101, "loss": 2.4e22, "n-test": 12.0}) == {"loss", "n-test"}


def test_an_update_carries_only_what_its_plan_names() -> None:
    gate = Gate(Policy())
    weighted = plan(
        encoding={"auxiliary": (("weight", 1.0, 20),)}, aggregation={"examples": "weight", "examples_max": 10}
    )
    assert gate.let_out(What.UPDATE, {"weight": 0.5, "age": 71.0}, weighted) == {"weight": 0.5}
    assert gate.let_out(What.UPDATE, {"weight": 0.5}, plan()) == {}


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,29}", fullmatch=True), st.floats(), max_size=80))
def test_whatever_a_task_measures_what_leaves_is_a_legal_evaluation(values: dict[str, float]) -> None:
    rule = replace(PLAN.evaluation, metrics=tuple(sorted({*PLAN.evaluation.metrics, *list(values)[:9]})))
    numbers = Gate(Policy()).let_out(What.EVALUATION, {**values, "n-test": 30.0}, replace(PLAN, evaluation=rule))
    kept = Measurements(tuple((name, value + 0.0) for name, value in numbers.items())).values
    assert len(kept) <= 64
    assert all(math.isfinite(value) for _, value in kept)
