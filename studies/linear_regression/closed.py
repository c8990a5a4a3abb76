"""Every version of the textbook case by one formula, in float64: what the federation must arrive at.

One full-batch step of size lr per round on the mean squared error makes the model an affine map of itself,
theta' = theta - lr * (H theta - b), with H = sum a_k 2 X_k'X_k / n_k and b = sum a_k 2 X_k'y_k / n_k over the sites,
a_k = 1/10 (plain) or n_k/550 (sample-weighted). So theta_v = theta* + (I - lr H)^v (theta_0 - theta*), theta* = H^-1 b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = tuple[NDArray[np.float64], NDArray[np.float64]]  # x (n,), y (n,)


def closed_versions(
    sites: Sequence[Points], *, versions: int, learning_rate: float, weighted: bool
) -> NDArray[np.float64]:
    """theta_0 .. theta_versions, float64 (versions + 1, 2), intercept first, from theta_0 = 0.

    weighted   sites count by their samples, else all alike
    """
    total = sum(len(x) for x, _ in sites)
    hessian, slope = np.zeros((2, 2)), np.zeros(2)
    for x, y in sites:
        share = len(x) / total if weighted else 1 / len(sites)
        rows = np.stack([np.ones_like(x), x], axis=1)
        hessian += share * 2 / len(x) * rows.T @ rows
        slope += share * 2 / len(x) * rows.T @ y
    goal = np.linalg.solve(hessian, slope)
    values, vectors = np.linalg.eigh(hessian)
    powers = (1 - learning_rate * values)[None, :] ** np.arange(versions + 1)[:, None]
    return np.asarray(goal + (powers * (vectors.T @ -goal)) @ vectors.T)


def pooled_descent(sites: Sequence[Points], *, versions: int, learning_rate: float) -> NDArray[np.float64]:
    """The same steps, one after the other, on all points in one place: float64 (versions + 1, 2)."""
    x, y = np.concatenate([x for x, _ in sites]), np.concatenate([y for _, y in sites])
    thetas = np.zeros((versions + 1, 2))
    for version in range(versions):
        residual = thetas[version, 0] + thetas[version, 1] * x - y
        gradient = 2 * np.array([residual.mean(), (residual * x).mean()])
        thetas[version + 1] = thetas[version] - learning_rate * gradient
    return thetas


def training_mse(theta: NDArray[np.float64], sites: Sequence[Points]) -> float:
    """Mean squared error over all sites' points."""
    x, y = np.concatenate([x for x, _ in sites]), np.concatenate([y for _, y in sites])
    return float(np.mean((theta[0] + theta[1] * x - y) ** 2))
