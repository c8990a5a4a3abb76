"""The textbook case: the task's steps, averaged, are the closed computation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning.task import DataSource, TrainingError, TrainingSettings
from rehearsal import comparing
from rehearsal.comparing import read_study
from rehearsal.federated import federated
from schemas.errors import LocalError
from studies.linear_regression.closed import closed_versions, pooled_descent, training_mse
from studies.linear_regression.task import SAMPLES, points, task

STUDY = Path(comparing.__file__).parents[1] / "studies" / "linear_regression"
SITES = [points(site) for site in SAMPLES]


def test_the_data_are_drawn_in_order_from_one_generator() -> None:
    rng = np.random.default_rng(0)
    for (x, y), samples in zip(SITES, range(10, 101, 10), strict=True):
        np.testing.assert_array_equal(x, rng.normal(size=samples))
        np.testing.assert_allclose(y - 1 - 2 * x, rng.normal(0, 0.1, samples), atol=1e-12)
    assert sum(len(x) for x, _ in SITES) == 550


@pytest.mark.parametrize(("weighted", "wanted"), [(True, (3.285, 0.106, 0.0091)), (False, (3.309, 0.113, 0.0092))])
def test_training_mse_after_10_100_1000_versions(weighted: bool, wanted: tuple[float, ...]) -> None:
    thetas = closed_versions(SITES, versions=1000, learning_rate=0.01, weighted=weighted)
    found = [training_mse(thetas[version], SITES) for version in (10, 100, 1000)]
    np.testing.assert_allclose(found, wanted, atol=6e-4)


def test_weighted_by_samples_is_gradient_descent_on_the_pooled_points() -> None:
    closed = closed_versions(SITES, versions=1000, learning_rate=0.01, weighted=True)
    np.testing.assert_allclose(closed, pooled_descent(SITES, versions=1000, learning_rate=0.01), atol=1e-12)


@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_every_version_of_the_task_is_the_closed_computation(kind: str) -> None:
    study = read_study(STUDY / f"plan_{kind}.toml", versions=100)
    sites, seen = study.load(None), [study.task.initial(0)]
    learnt = federated(study.task, sites, study.plan, seed=0, seen=lambda _, v: seen.append(v))
    wanted = closed_versions(SITES, versions=100, learning_rate=0.01, weighted=kind == "weighted")
    np.testing.assert_allclose(seen, wanted, atol=1e-6)
    assert max(learnt.lengths) < 1.0  # the plan's clip is idle


def test_the_overall_metric_is_the_training_mse() -> None:
    sites = [task.load(DataSource(site)) for site in SAMPLES]
    theta = np.array([0.5, 1.5], np.float32)
    values = [task.evaluate(theta, data) for data in sites]
    overall = np.average([value["mse"] for value in values], weights=[value["n-test"] for value in values])
    assert overall == pytest.approx(training_mse(theta.astype(np.float64), SITES))


def test_what_the_task_cannot_do_is_refused_and_divergence_is_reported() -> None:
    data = task.load(DataSource("site-010"))

    def train(training: TrainingSettings) -> None:
        task.train(task.initial(0), data, training, seed=0, progress=lambda _: None, cancelled=lambda: False)

    with pytest.raises(LocalError, match="full-batch"):
        train(TrainingSettings("adam"))
    with (
        pytest.raises(TrainingError, match=r"epoch \d+, step 1"),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        train(TrainingSettings("sgd", 1e30, epochs=100, batch=0))
