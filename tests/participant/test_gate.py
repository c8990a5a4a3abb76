"""The one way out: what policy does not name stays in the hospital."""

import math

from hypothesis import given
from hypothesis import strategies as st

from participant.settings import Policy
from participant.shell.gate import Gate, What, millionths
from tests.participant.driving import plan

VALUES = {"accuracy": 0.5, "accuracy-low": 0.4, "alone-accuracy": 0.3, "loss": 2.0, "n-test": 12.0, "bytes-up": 9.0}


def out(policy: Policy, values: dict[str, float] = VALUES) -> set[str]:
    return set(Gate(policy).let_out(What.EVALUATION, values, plan()))


def test_everything_of_an_approved_task_may_leave_by_default() -> None:
    assert out(Policy()) == set(VALUES)


def test_only_named_metrics_leave_with_their_intervals_and_baseline() -> None:
    assert out(Policy(share_metrics=("accuracy",))) == {
        "accuracy", "accuracy-low", "alone-accuracy", "n-test", "bytes-up",
    }  # fmt: skip


def test_usage_stays_when_policy_says_so() -> None:
    assert out(Policy(share_usage=False)) == set(VALUES) - {"n-test", "bytes-up"}


def test_nothing_of_an_evaluation_leaves_when_policy_says_so() -> None:
    assert out(Policy(share_evaluations=False)) == set()


def test_what_is_no_finite_number_or_no_id_stays() -> None:
    assert out(Policy(), {"accuracy": math.nan, "loss": math.inf, "Patient 4711": 1.0}) == set()


def test_an_update_carries_only_what_its_plan_names() -> None:
    gate = Gate(Policy())
    weighted = plan(privacy={"auxiliary": (("weight", 1.0, 20),), "examples": "weight", "examples_max": 10})
    assert gate.let_out(What.UPDATE, {"weight": 0.5, "age": 71.0}, weighted) == {"weight": 0.5}
    assert gate.let_out(What.UPDATE, {"weight": 0.5}, plan()) == {}


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True), st.floats(), max_size=80))
def test_whatever_a_task_measures_an_evaluation_can_carry_it(values: dict[str, float]) -> None:
    numbers = millionths(Gate(Policy()).let_out(What.EVALUATION, values, plan()))
    assert len(numbers) <= 64
    assert list(numbers) == sorted(numbers)
    assert all(-(2**63) <= value < 2**63 for _, value in numbers)
