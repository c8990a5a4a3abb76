"""The experiments' loop makes the same versions as the product's arithmetic, up to float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.task import DataSource, TrainingError, TrainingSettings, Vector
from protocol.server_step import server_step
from rehearsal.federate import POLYNOMIAL, Aggregation, Server, Told, clipped, federate
from studies.linear_regression.task import SAMPLES, task
from tests.learning.toy import Normed, patients

STEP = TrainingSettings("sgd", 0.01, epochs=0, steps=1, batch=0)
SITES = [task.load(DataSource(site)) for site in SAMPLES]


@pytest.mark.parametrize("optimiser", ["average", "momentum", "adam", "adagrad", "yogi"])
def test_server_steps_are_those_of_the_protocol(optimiser: str) -> None:
    settings = Aggregation(1, 1, server_optimiser=optimiser, server_lr=0.1)
    server = Server(settings, np.linspace(-1, 1, 5))
    step = server_step(optimiser, 0.1, 0.9, 0.99, 1e-3)
    model, state = np.linspace(-1, 1, 5, dtype=np.float32), step.initial(5)
    for number in range(5):
        delta = np.sin(np.arange(5.0) + number) / 10
        server.step(delta)
        model, state = step.apply(model, delta.astype(np.float32), state)
    np.testing.assert_allclose(server.model, model, rtol=1e-4, atol=1e-6)


def test_a_late_update_counts_less_unless_staleness_is_constant() -> None:
    """With one of ten sites a version, later versions are made of updates that are behind."""
    versions = {}
    for staleness, weights in (("polynomial", POLYNOMIAL), ("constant", (16,) * 65)):
        settings = Aggregation(1, 8, weights)
        versions[staleness] = federate(task, SITES, STEP, settings, seed=0)
    assert np.linalg.norm(versions["polynomial"]) < np.linalg.norm(versions["constant"])


def test_a_cohort_of_all_is_never_late() -> None:
    one, two = (
        federate(task, SITES, STEP, Aggregation(10, 5, weights), seed=0) for weights in (POLYNOMIAL, (16,) * 65)
    )
    np.testing.assert_array_equal(one, two)


def test_an_update_is_shortened_to_the_clip_and_its_length_is_told() -> None:
    told, settings = Told(), Aggregation(1, 1, clip=2.0, clip_inf=1.5)
    np.testing.assert_allclose(clipped(np.array([3.0, 4.0]), settings, told), [1.2, 1.5])
    np.testing.assert_array_equal(clipped(np.array([1.0, 0.0]), settings, told), [1.0, 0.0])
    assert told.lengths == [5.0, 1.0]


def test_a_training_that_fails_names_its_site_and_a_way_on() -> None:
    wild = TrainingSettings("sgd", 1e30, epochs=0, steps=9, batch=0)
    with pytest.raises(TrainingError, match="site-010: ") as caught:
        federate(task, SITES, wild, Aggregation(3, 2), seed=0)
    assert "learning_rate" in caught.value.hint


@pytest.mark.parametrize("goal", [1, 4], ids=["fedasync", "fedbuff"])
def test_batchnorm_outputs_stay_finite_where_late_differences_make_its_variance_negative(goal: int) -> None:
    norm, negative = Normed(), []
    sites = [replace(norm.load(DataSource(f"site-{n}")), train=patients(40, seed=n)) for n in range(6)]
    names = norm.state(norm.initial(0))

    def look(version: int, vector: Vector) -> None:
        negative.append(bool((norm.state(vector)["1.running_var"] < 0).any()))
        assert all("accuracy" in norm.evaluate(vector, data) for data in sites)

    training = TrainingSettings("sgd", 0.05, epochs=5, batch=8)
    federate(norm, sites, training, Aggregation(goal, 30, clip=10), seed=0, seen=look)
    assert "1.running_var" in names
    assert any(negative)  # or this has tried nothing
