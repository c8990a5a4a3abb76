"""The experiments' loop makes the same versions as the product's arithmetic, up to float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.task import DataSource, TrainingSettings
from protocol.server_step import server_step
from studies.federate import Aggregation, Server, federate
from studies.linear_regression.task import SAMPLES, task

STEP = TrainingSettings("sgd", 0.01, epochs=0, steps=1, batch=0)
SITES = [task.load(DataSource(site)) for site in SAMPLES]


@pytest.mark.parametrize("optimiser", ["average", "momentum", "adam", "adagrad", "yogi"])
def test_server_steps_are_those_of_the_protocol(optimiser: str) -> None:
    settings = Aggregation(1, 1, server_optimiser=optimiser, server_lr=0.1)  # type: ignore[arg-type]  # one of its names
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
    for staleness in ("polynomial", "constant"):
        settings = replace(Aggregation(1, 8), staleness=staleness)
        versions[staleness] = federate(task, SITES, STEP, settings, seed=0)
    assert np.linalg.norm(versions["polynomial"]) < np.linalg.norm(versions["constant"])


def test_a_cohort_of_all_is_never_late() -> None:
    one, two = (
        federate(task, SITES, STEP, replace(Aggregation(10, 5), staleness=staleness), seed=0)
        for staleness in ("polynomial", "constant")
    )
    np.testing.assert_array_equal(one, two)
