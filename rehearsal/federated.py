"""What a federation learns from given patients: a plan played on the simulator's world, with production's arithmetic.

Knows:    every site is always there and trains equally long but for chance, so that who is late is chance alone.
Never:    counts, weighs, clips or steps by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np

from learning.settings import settings_of
from learning.task import SiteData, Task, TrainingError, TrainingSettings, Vector
from schemas.errors import LocalError
from schemas.plan import Plan
from simulation.premises import SiteSpec
from simulation.vectors import Learner
from simulation.world import World

TRAIN_MS, SPREAD = 60_000, 0.5
PATIENCE_MS = 24 * 3_600_000  # of virtual time: a version is made within minutes of it


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


@dataclass(slots=True)
class SiteLearner:
    """Trains a study's task at its sites; `lengths` of the updates before clipping, examples weighed in."""

    task: Task
    sites: Mapping[str, SiteData]
    plan: Plan
    seed: int
    lengths: list[float] = field(default_factory=list)

    def learner(self, *, start: int, measured: bool) -> Learner:
        """For a world. `start` seeds version 0; `measured`: sites tell their own metric of each version."""
        return Learner(
            initial=np.asarray(self.task.initial(start), np.float32),
            train=self._train,
            measure=self._measure if measured else None,
            examples={name: self.task.examples(data) for name, data in self.sites.items()},
        )

    def _train(self, site: str, base: Vector) -> Vector:
        words = f"{self.seed}/{self.plan.study}/{site}/".encode() + base.tobytes()
        data, most = self.sites[site], self.plan.aggregation.examples_max
        seed = int.from_bytes(sha256(words).digest()[:8], "big") >> 2
        update = trained(self.task, base, data, settings_of(self.plan), seed=seed)
        share = min(1.0, self.task.examples(data) / most) if most else 1.0
        self.lengths.append(share * float(np.linalg.norm(update.astype(np.float64))))
        return update

    def _measure(self, site: str, vector: Vector) -> tuple[float, float]:
        """The site's own metric and its weight; one that is undefined there weighs nothing."""
        values = self.task.evaluate(vector, self.sites[site])
        if self.task.metric not in values:
            return 0.0, 0.0
        return float(values[self.task.metric]), float(values[self.task.weight])


@dataclass(frozen=True, slots=True)
class Federated:
    """The last version, float32 (p,), and the updates' lengths (L2, before clipping), to choose `clip` by."""

    vector: Vector
    lengths: tuple[float, ...]


def federated(
    task: Task,
    sites: Sequence[SiteData],
    plan: Plan,
    *,
    seed: int,
    seen: Callable[[int, Vector], Any] = lambda version, vector: None,
) -> Federated:
    """Play `plan` to its last version, whatever its stop rules would say. `seen` is called with every new version.

    Where there are fewer sites than the plan expects, cohorts are as large as they can be. Raises TrainingError naming
    the site whose training gave nothing usable.
    """
    plan = for_sites(plan, len(sites))
    learning = SiteLearner(task, {data.site: data for data in sites}, plan, seed)
    specs = [SiteSpec(data.site, train_ms=TRAIN_MS, spread=SPREAD) for data in sites]
    world = World(plan, specs, seed=seed, learner=learning.learner(start=seed, measured=False))
    last = np.asarray(task.initial(seed), np.float32)
    while not world.final:
        before = world.version
        world.run(until_version=before + 1, until_ms=world.clock.now_ms + PATIENCE_MS)
        if world.version == before and not world.final:
            raise LocalError(
                f"no version follows version {before}: {_why(learning)}",
                hint="does the plan check without a warning, and does every site have somebody to train on?",
            )
        model = world.model()
        assert model is not None
        assert model.vector is not None
        last = model.vector
        if model.version:
            seen(model.version, last)
    return Federated(last, tuple(learning.lengths))


def _why(learning: SiteLearner) -> str:
    if learning.plan.aggregation.examples is not None:
        return "updates are made and do not count; is what the task gives as `examples` above 0?"
    return "updates are made and do not count"


def for_sites(plan: Plan, count: int) -> Plan:
    """The same plan for so many sites, with a fixed number of versions, and without what only people look at."""
    rule = plan.aggregation
    fewer = {name: min(getattr(rule, name), count) for name in ("goal", "minimum", "cohort_min")}
    return replace(
        plan,
        aggregation=replace(rule, **fewer),
        evaluation=replace(plan.evaluation, alone=False),
        stop=replace(plan.stop, patience=0, target=None, time_s=0),
    )
