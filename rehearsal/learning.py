"""Really learns on virtual time: a study's task trains at its sites, each version is judged on all test patients.

Knows:    the task, its sites' patients, and the pooled model that the federation is measured against.
Never:    changes who is heard when: that is the world's, with or without learning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from learning import advice
from learning.entry import load_task
from learning.quarantine import Quarantine
from learning.settings import settings_of
from learning.task import DataSource, SiteData, Task, Vector
from registry.plans.draft import Draft
from rehearsal.comparing import Judge as JudgedBy
from rehearsal.comparing import alone_of, losses_of, patients_of, without_training
from rehearsal.federated import SiteLearner
from schemas.errors import LocalError
from schemas.plan import Plan
from simulation.vectors import Learner
from simulation.world import World

NEAR = 0.99  # of the pooled metric: the target unless another is named


class _Watched(DataSource):
    """Where a site's patients are; knows whether the task has asked for the folder."""

    looked = False

    def __getattribute__(self, name: str) -> Any:
        if name == "folder":
            object.__setattr__(self, "looked", True)
        return object.__getattribute__(self, name)


@dataclass(frozen=True, slots=True)
class Patients:
    """Everybody's patients, loaded once for all alternatives. Sites without a training patient are `untrained`."""

    task: Task
    sites: Mapping[str, SiteData]
    untrained: tuple[str, ...] = ()

    @classmethod
    def load(cls, draft: Draft, folder: Path | None) -> "Patients":
        """Raises LocalError when a site's patients cannot be used, or nobody looks into `folder`."""
        task, share = load_task(draft.entry), draft.values["data"]["bad_records_max"]
        sources = [_Watched(site, folder, draft.options, Quarantine(share)) for site in draft.sites]
        loaded = [patients_of(task, source) for source in sources]
        if folder is not None and not any(source.looked for source in sources):
            raise LocalError(
                f"--data {folder} does nothing: the task {draft.entry} brings its own data", hint="leave --data out"
            )
        known = {data.site: data for data in loaded if len(data.train)}
        if not known:
            raise LocalError("no site has a training patient", hint="does the split leave some of them for training?")
        return cls(task, known, without_training(loaded))

    def pooled(self, plan: Plan, judged_by: JudgedBy) -> float:
        """The metric of the model that central learning would have given."""
        vector, seen = self._central(plan)
        return judged_by(self.task, [vector] * len(seen), seen)

    def advice(self, plan: Plan, judge: "StudyJudge", judged_by: JudgedBy) -> list[str]:
        """What deserves a word about the history that `judge` has watched, once it is over."""
        if judge.last is None or not judge.lengths:
            return []
        task, sites, settings = self.task, list(self.sites.values()), settings_of(plan)
        vector, seen = self._central(plan)
        losses = losses_of(task, sites, seen, seed=plan.seed, federated=judge.last, pooled=vector)
        alone = judged_by(task, [alone_of(task, data, settings, seed=plan.seed) for data in sites], sites)
        return [
            *advice.of_clip(judge.lengths, plan.encoding.clip),
            *advice.of_learning(losses.first, losses.last, losses.pooled),
            *advice.of_comparison(
                alone, judge.curve[-1][1], higher_is_better=task.higher_is_better, metric=task.metric
            ),
        ]

    def _central(self, plan: Plan) -> tuple[Vector, list[SiteData]]:
        """The pooled model, and the sites as it wants them."""
        everybody = self.task.pool(list(self.sites.values()))
        vector = alone_of(self.task, everybody, settings_of(plan), seed=plan.seed)
        return vector, [self.task.as_pooled(data, everybody) for data in self.sites.values()]


@dataclass(slots=True)
class StudyJudge:
    """Trains and judges one history; see rehearsal.play.Judge.

    lengths   of the updates before clipping, examples weighed in; last: the newest version
    """

    plan: Plan
    patients: Patients
    judged_by: JudgedBy
    seed: int
    curve: list[tuple[int, float]] = field(default_factory=list)
    last: Vector | None = None
    _world: World | None = None
    _learning: SiteLearner = field(init=False)

    def __post_init__(self) -> None:
        self._learning = SiteLearner(self.patients.task, self.patients.sites, self.plan, self.seed)

    @property
    def lengths(self) -> list[float]:
        return self._learning.lengths

    def watch(self, world: World) -> None:
        self._world = world

    def judge(self, now_ms: int) -> None:
        """Note the metric of the version that was just announced."""
        assert self._world is not None
        model = self._world.model()
        assert model is not None
        assert model.vector is not None
        sites, self.last = list(self.patients.sites.values()), model.vector
        self.curve.append((now_ms, self.judged_by(self.patients.task, [model.vector] * len(sites), sites)))

    @property
    def clipped(self) -> float:
        """Share of the updates that were longer than the plan's clip."""
        return float(np.mean([length > self.plan.encoding.clip for length in self.lengths])) if self.lengths else 0.0

    @property
    def learner(self) -> Learner:
        rule = self.plan.stop
        return self._learning.learner(start=self.plan.seed, measured=rule.target is not None or bool(rule.patience))


def target_of(pooled: float, *, higher_is_better: bool) -> float:
    """What counts as near enough to the pooled model."""
    return pooled * NEAR if higher_is_better else pooled / NEAR
