"""A federation in one loop, without wire or fixed point: to find a study's settings and measure what to expect.

Knows:    the formula of docs/design.md, section 4 (16ths, cohorts of `goal`, staleness, clip), and the server steps, in
          float64.
Never:    stands in for the coordinator: no round is signed, recorded or repeatable bit for bit.
Imports:  numpy, learning, schemas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.task import SiteData, Task, TrainingError, TrainingSettings, Vector
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.staleness import CutOff, Polynomial, table

POLYNOMIAL = table(CutOff(Polynomial(), 64))


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How versions are made; as the plan's [aggregation], [stop] and [encoding] say.

    weights       in 16ths, by staleness; what is later than the last one is dropped
    examples_max  updates are scaled by training patients over this number, 1 at most; 0: every site alike
    clip, clip_inf  longest update, and largest coordinate of one
    """

    goal: int
    versions: int
    weights: tuple[int, ...] = POLYNOMIAL
    server_optimiser: str = "average"
    server_lr: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-3
    examples_max: int = 0
    clip: float = math.inf
    clip_inf: float = math.inf

    @classmethod
    def of(cls, plan: Plan) -> Aggregation:
        """Raises LocalError for a plan that weighs absence, which this loop does not know."""
        if plan.aggregation.absence_cap > 1:
            raise LocalError(
                "an experiment does not weigh absence (aggregation.absence_cap)",
                hint="`wardround simulate --learn` does; or leave absence_cap out to try the rest of the plan",
            )
        rule = plan.aggregation
        return cls(
            rule.goal,
            plan.stop.versions,
            rule.weight_table,
            rule.server_optimiser,
            rule.server_lr,
            rule.beta1,
            rule.beta2,
            rule.denominator_floor,
            rule.examples_max,
            plan.encoding.clip,
            plan.encoding.clip_inf,
        )


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


@dataclass(slots=True)
class Told:
    """What a federation's updates were like: L2 length of each before clipping, to choose `clip` by."""

    lengths: list[float] = field(default_factory=list)


def federate(
    task: Task,
    sites: Sequence[SiteData],
    training: TrainingSettings,
    settings: Aggregation,
    *,
    seed: int,
    seen: Callable[[int, Vector], Any] = lambda version, vector: None,
    told: Told | None = None,
) -> Vector:
    """The last version. Each round every idle site trains; `goal` of the finished ones, drawn, make the next version.

    The others' updates wait and count later, by the staleness table. `seen` is called with every new version. Raises
    TrainingError naming the site whose training gave nothing usable.
    """
    rng = np.random.default_rng(seed)
    server = Server(settings, task.initial(seed).astype(np.float64))
    waiting: dict[int, tuple[int, NDArray[np.float64]]] = {}
    shares = [_share(task.examples(data), settings.examples_max) for data in sites]
    for version in range(settings.versions):
        base = server.model.astype(np.float32)
        for index, data in enumerate(sites):
            if index not in waiting:
                update = trained(task, base, data, training, seed=int(rng.integers(2**31))).astype(np.float64)
                waiting[index] = (version, clipped(shares[index] * update, settings, told))
        cohort = rng.permutation(sorted(waiting))[: settings.goal].tolist()
        server.step(_delta([(version - waiting[i][0], waiting[i][1], shares[i]) for i in cohort], settings))
        for index in cohort:
            del waiting[index]
        seen(version + 1, server.model.astype(np.float32))
    return server.model.astype(np.float32)


def trained(task: Task, base: Vector, data: SiteData, training: TrainingSettings, *, seed: int) -> Vector:
    """A site's update. Raises TrainingError naming the site."""
    try:
        update = task.train(base, data, training, seed=seed, progress=lambda _: None, cancelled=lambda: False)
        if not np.isfinite(update).all():
            raise TrainingError("the update holds NaN or infinity")
        return update
    except TrainingError as error:
        raise training_failed(data.site, error) from error


def training_failed(site: str, error: TrainingError) -> TrainingError:
    """The same failure with the site's name and a way on."""
    said = str(error)
    return TrainingError(
        said if site in said else f"{site}: {said}",
        hint="a smaller training.learning_rate is the first thing to try; then look for odd values in its table",
    )


def clipped(update: NDArray[np.float64], settings: Aggregation, told: Told | None) -> NDArray[np.float64]:
    """The update as its body would hold it: shortened to `clip`, each coordinate held within `clip_inf`."""
    length = float(np.linalg.norm(update))
    if told is not None:
        told.lengths.append(length)
    short = update * (settings.clip / length) if length > settings.clip else update
    return np.clip(short, -settings.clip_inf, settings.clip_inf)


def _share(examples: int, examples_max: int) -> float:
    return min(1.0, examples / examples_max) if examples_max else 1.0


def _delta(cohort: Sequence[tuple[int, NDArray[np.float64], float]], settings: Aggregation) -> NDArray[np.float64]:
    """What one cohort, (versions late, update, share of examples) each, changes: the mean, late ones for less."""
    total, shares, weights = np.zeros_like(cohort[0][1]), 0.0, 0
    for late, update, share in cohort:
        weight = settings.weights[late] if late < len(settings.weights) else 0
        total, shares, weights = total + weight * update, shares + weight * share, weights + weight
    delta = total / (16 * len(cohort))
    return delta * (weights / shares) if settings.examples_max and shares else delta
