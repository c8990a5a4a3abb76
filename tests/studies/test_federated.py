"""What a federation learns from given patients is what production's cores and arithmetic make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.task import DataSource, TrainingError, Vector
from rehearsal import comparing
from rehearsal.comparing import read_study
from rehearsal.federated import federated
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from simulation.vectors import RealVectors
from studies.linear_regression.task import SAMPLES, task
from tests.learning.toy import Normed, patients
from tests.schemas.plans import changed

LINE = read_study(Path(comparing.__file__).parents[1] / "studies" / "linear_regression" / "plan_plain.toml").plan
SITES = [task.load(DataSource(site)) for site in SAMPLES]
CONSTANT = (16,) * 65
POLYNOMIAL = tuple(max(4, round(16 / (1 + late) ** 0.5)) for late in range(65))


def line(
    *, goal: int, versions: int, weights: tuple[int, ...] = POLYNOMIAL, rate: float = 0.01, steps: int = 1
) -> Plan:
    rule = replace(
        LINE.aggregation, goal=goal, minimum=goal, cohort_min=1, deadline_ms=0, weight_table=weights,
        staleness_max=len(weights) - 1,
    )  # fmt: skip
    training = replace(LINE.training, epochs=0, steps=steps, batch=0, learning_rate=rate)
    return replace(LINE, aggregation=rule, training=training, stop=replace(LINE.stop, versions=versions))


def test_a_late_update_counts_less_unless_staleness_is_constant() -> None:
    """With one of ten sites a version, later versions are made of updates that are behind."""
    late, alike = (
        federated(task, SITES, line(goal=1, versions=30, weights=weights), seed=0).vector
        for weights in (POLYNOMIAL, CONSTANT)
    )
    assert np.linalg.norm(late) < np.linalg.norm(alike)


def test_a_cohort_of_all_is_never_late() -> None:
    one, two = (
        federated(task, SITES, line(goal=10, versions=5, weights=weights), seed=0).vector
        for weights in (POLYNOMIAL, CONSTANT)
    )
    np.testing.assert_array_equal(one, two)


def test_every_version_is_seen_in_order_and_the_last_one_is_the_answer() -> None:
    seen: list[tuple[int, Vector]] = []
    plan = line(goal=4, versions=6)
    learnt = federated(task, SITES, plan, seed=0, seen=lambda version, vector: seen.append((version, vector)))
    assert [version for version, _ in seen] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(seen[-1][1], learnt.vector)
    assert len(learnt.lengths) >= 24


def test_with_fewer_sites_than_the_plan_expects_cohorts_are_as_large_as_they_can_be() -> None:
    learnt = federated(task, SITES[:3], line(goal=10, versions=2), seed=0)
    assert len(learnt.lengths) == 6


def test_a_training_that_fails_names_its_site_and_a_way_on() -> None:
    with pytest.raises(TrainingError, match="site-") as caught:
        federated(task, SITES, line(goal=3, versions=2, rate=1e30, steps=9), seed=0)
    assert "learning_rate" in caught.value.hint


def test_a_federation_in_which_nothing_ever_counts_ends_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise PeerError("the sum of the example weights is none", code="examples")

    monkeypatch.setattr(RealVectors, "step", never)
    with pytest.raises(LocalError, match="no version follows version 0: updates are made and do not count"):
        federated(task, SITES[:2], line(goal=2, versions=2), seed=0)


@pytest.mark.parametrize("goal", [1, 4], ids=["fedasync", "fedbuff"])
def test_batchnorm_outputs_stay_finite_where_late_differences_make_its_variance_negative(goal: int) -> None:
    norm, negative = Normed(), []
    sites = [replace(norm.load(DataSource(f"site-{n}")), train=patients(40, seed=n)) for n in range(6)]
    names = norm.state(norm.initial(0))

    def look(version: int, vector: Vector) -> None:
        negative.append(bool((norm.state(vector)["1.running_var"] < 0).any()))
        assert all("accuracy" in norm.evaluate(vector, data) for data in sites)

    plan = changed(
        parameters=norm.parameters(),
        sites_expected=6,
        aggregation={"goal": goal, "minimum": goal, "cohort_min": 1, "deadline_ms": 0},
        training={"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.0, "epochs": 5, "steps": 0, "batch": 8},
        encoding={"clip": 10.0, "clip_inf": 10.0, "scale_bits": 16},
        stop={"versions": 30},
    )
    federated(norm, sites, plan, seed=0, seen=look)
    assert "1.running_var" in names
    assert any(negative)  # or this has tried nothing
