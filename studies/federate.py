"""A federation in one loop, without wire, clip or fixed point: to find a study's settings and measure what to expect.

Knows:    the formula of the design (16ths, cohorts of `goal`, staleness) and four server steps, in float64.
Never:    stands in for the coordinator: no round is signed, recorded or repeatable bit for bit.
Imports:  numpy, learning.   Used by: the experiment scripts of the studies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.task import SiteData, Task, TrainingSettings, Vector


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How versions are made; names and defaults as in the plan's [aggregation]."""

    goal: int
    versions: int
    staleness: Literal["polynomial", "constant"] = "polynomial"
    server_optimiser: Literal["average", "momentum", "adam", "adagrad", "yogi"] = "average"
    server_lr: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-3
    examples: bool = False  # updates scaled by the number of training patients


@dataclass(slots=True)
class Server:
    """The model and the server optimiser's state, all float64 (p,)."""

    settings: Aggregation
    model: NDArray[np.float64]
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros_like(self.model)
        self.squares = np.full_like(self.model, self.settings.epsilon**2)

    def step(self, delta: NDArray[np.float64]) -> None:
        """As protocol.server_step, which a test compares: arXiv 2003.00295, algorithm 2; momentum: arXiv 1909.06335."""
        s = self.settings
        if s.server_optimiser == "average":
            self.model = self.model + s.server_lr * delta
            return
        if s.server_optimiser == "momentum":
            self.mean = s.beta1 * self.mean + delta
            self.model = self.model + s.server_lr * self.mean
            return
        square = delta * delta
        self.mean = s.beta1 * self.mean + (1 - s.beta1) * delta
        if s.server_optimiser == "adagrad":
            self.mean, self.squares = delta, self.squares + square  # without momentum
        elif s.server_optimiser == "yogi":
            self.squares = self.squares - (1 - s.beta2) * square * np.sign(self.squares - square)
        else:
            self.squares = s.beta2 * self.squares + (1 - s.beta2) * square
        self.model = self.model + s.server_lr * self.mean / (np.sqrt(self.squares) + s.epsilon)


def federate(
    task: Task,
    sites: Sequence[SiteData],
    training: TrainingSettings,
    settings: Aggregation,
    *,
    seed: int,
    seen: Callable[[int, Vector], Any] = lambda version, vector: None,
    largest: list[float] | None = None,
) -> Vector:
    """The last version. Each round every idle site trains; `goal` of the finished ones, drawn, make the next version.

    The others' updates wait and count later, by the staleness table. `seen` is called with every new version;
    `largest` collects the L2 norm of every update, to choose `clip` by.
    """
    rng = np.random.default_rng(seed)
    server = Server(settings, task.initial(seed).astype(np.float64))
    waiting: dict[int, tuple[int, Vector]] = {}
    examples_max = max(task.examples(data) for data in sites)
    for version in range(settings.versions):
        base = server.model.astype(np.float32)
        for index, data in enumerate(sites):
            if index not in waiting:
                update = task.train(
                    base,
                    data,
                    training,
                    seed=int(rng.integers(2**31)),
                    progress=lambda _: None,
                    cancelled=lambda: False,
                )
                waiting[index] = (version, update)
                if largest is not None:
                    largest.append(float(np.linalg.norm(update.astype(np.float64))))
        cohort = rng.permutation(sorted(waiting))[: settings.goal]
        total, shares, weights = np.zeros_like(server.model), 0.0, 0
        for index in cohort.tolist():
            trained_from, update = waiting.pop(index)
            late = version - trained_from if settings.staleness == "polynomial" else 0
            weight = max(4, round(16 / (1 + late) ** 0.5))
            share = task.examples(sites[index]) / examples_max if settings.examples else 1.0
            total, shares, weights = total + weight * share * update, shares + weight * share, weights + weight
        delta = total / (16 * len(cohort))
        server.step(delta * (weights / shares) if settings.examples else delta)
        seen(version + 1, server.model.astype(np.float32))
    return server.model.astype(np.float32)
