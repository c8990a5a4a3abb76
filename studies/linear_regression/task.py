"""The textbook case in numpy: y = 1 + 2x with noise, one full-batch gradient step per round, judged by MSE.

Data:     made here from default_rng(0): ten sites with 10, 20 ... 100 points. Training points are the test points.
Why here: every version has a closed form (closed.py), so a test can compare the whole path with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.contract import Column, DataContract, Table
from learning.task import (
    Cancelled,
    DataSource,
    LocalError,
    Patients,
    Progress,
    SiteData,
    Task,
    TrainingCancelledError,
    TrainingError,
    TrainingSettings,
    Vector,
)

SAMPLES = {f"site-{samples:03d}": samples for samples in range(10, 101, 10)}


def points(site: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of a site, float64 (n,). One generator runs through all sites in order, x first, then the noise."""
    rng = np.random.default_rng(0)
    for name, samples in SAMPLES.items():
        x = rng.normal(0.0, 1.0, samples)
        noise = rng.normal(0.0, 0.1, samples)
        if name == site:
            return x, 1 + 2 * x + noise
    raise LocalError(f"the study linear-regression has no site {site}", hint=f"its sites: {', '.join(SAMPLES)}")


class LinearRegression(Task):
    metric = "mse"
    higher_is_better = False
    contract = DataContract((Column("x", low=-10, high=10), Column("y", low=-30, high=30, label=True)))

    def parameters(self) -> int:
        return 2

    def initial(self, seed: int) -> Vector:
        return np.zeros(2, np.float32)

    def inputs(self, table: Table) -> NDArray[np.float64]:
        return np.stack([np.ones_like(table["x"]), table["x"]], axis=1)

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"y": outputs}

    def load(self, source: DataSource) -> SiteData:
        x, y = points(source.site)
        table = {"x": x, "y": y}
        self.contract.check(table, where=source.site)
        patients = Patients(self.inputs(table), y)
        return SiteData(source.site, patients, patients, x.nbytes + y.nbytes)

    def train(
        self,
        base: Vector,
        data: SiteData,
        training: TrainingSettings,
        *,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Vector:
        if training.optimiser != "sgd" or training.batch or training.momentum or training.proximal:
            raise LocalError("this task takes plain full-batch steps", hint='optimiser = "sgd", batch = 0')
        rows, y, theta, steps = data.train.inputs, data.train.targets, base.astype(np.float64), training.steps
        start, steps = theta, steps or training.epochs
        for step in range(steps):
            if cancelled():
                raise TrainingCancelledError(f"cancelled after {step} of {steps} steps")
            gradient = 2 / len(y) * rows.T @ (rows @ theta - y) + training.weight_decay * theta
            theta = theta - training.learning_rate * gradient
            if not np.isfinite(theta).all():
                raise TrainingError(f"the parameters are not finite in epoch {step + 1}, step 1")
            progress((step + 1) / steps)
        return (theta - start).astype(np.float32)

    def predict(self, vector: Vector, patients: Patients) -> NDArray[Any]:
        return np.asarray(patients.inputs @ vector.astype(np.float64))

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"mse": float(np.mean((outputs - targets) ** 2))}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        return self.measure(self.predict(vector, patients), patients.targets)["mse"]


task = LinearRegression()
