"""What to expect of a study: alone, federated and pooled, over several splits or seeds, with paired intervals.

Settings come from the study's plan.toml. The federation is `rehearsal.federated`: the simulator's world, production's
cores and arithmetic.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learning import advice
from learning.blame import folder_of, in_short, place_of_error
from learning.entry import load_task, module_of
from learning.places import look_beside
from learning.quarantine import Quarantine
from learning.settings import settings_of
from learning.task import (
    NOT_FINITE,
    DataSource,
    FederationError,
    LocalError,
    Patients,
    SiteData,
    Task,
    TrainingError,
    TrainingSettings,
    Vector,
)
from registry.plans.draft import Draft, TaskFacts, draft_of
from rehearsal.federated import federated, training_failed
from schemas.plan import Plan

Judge = Callable[[Task, Sequence[Vector], Sequence[SiteData]], float]


@dataclass(frozen=True, slots=True)
class Study:
    """A study's plan, as far as a comparison needs it."""

    task: Task
    sites: tuple[str, ...]
    options: Mapping[str, str]
    plan: Plan

    @property
    def training(self) -> TrainingSettings:
        return settings_of(self.plan)

    def load(self, folder: Path | None, **options: str) -> list[SiteData]:
        merged = {**self.options, **options}
        share = self.plan.data.bad_records_max
        sources = [DataSource(site, folder, merged, Quarantine(share)) for site in self.sites]
        return [patients_of(self.task, source) for source in sources]


@dataclass(frozen=True, slots=True)
class Losses:
    """Training loss over all sites' training patients: of version 0, of the last version, of the pooled model."""

    first: float
    last: float
    pooled: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The primary metric over all sites of one run, as `overall` or `together` says; lengths: of its updates."""

    alone: float
    federated: float
    pooled: float
    lengths: tuple[float, ...]
    losses: Losses | None = None

    @property
    def longest(self) -> float:
        return max(self.lengths)

    def __str__(self) -> str:
        return (
            f"alone {self.alone:.4f}, federated {self.federated:.4f}, pooled {self.pooled:.4f}, "
            f"longest update {self.longest:.3f}"
        )


def patients_of(task: Task, source: DataSource) -> SiteData:
    """A site's patients.

    Raises LocalError, naming the task and the line in it, whatever goes wrong while they are loaded; no error's text.
    """
    try:
        return task.load(source)
    except FederationError:
        raise
    except Exception as error:  # a task is its author's code: a missing folder or column ends it as it happens
        hint = "is this the folder that the task reads, with the files and columns that it asks for?"
        if source.folder is None:
            hint = "--data is not set: a study that does not bring its own data needs the folder with them"
        said = f"{in_short(error)} ({place_of_error(error, folder_of(task))})"
        raise LocalError(
            f"the task {module_of(task)} cannot load the patients of {source.site}: {said}", hint=hint
        ) from error


def read_study(plan: Path, versions: int | None = None) -> Study:
    """The study of a plan.toml, for its own or another number of versions. Raises LocalError when it cannot be read."""
    try:
        tables = tomllib.loads(plan.read_text("utf-8"))
    except OSError as error:
        raise LocalError(
            f"{plan} cannot be read: {error.strerror}", hint="name a folder under studies/, or the path of a plan.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalError(f"{plan}: not valid TOML: {error}") from error
    draft = draft_of(tables, where=str(plan))
    look_beside(plan, draft.entry)
    return study_of(draft, versions)


def study_of(draft: Draft, versions: int | None = None) -> Study:
    """A plan's text as a comparison takes it; every key is checked as `plan check` would, and counts."""
    task = load_task(draft.entry)
    facts = TaskFacts(int(task.parameters()), bytes(32), bytes(32), task.metric, task.higher_is_better, task.weight)
    plan = draft.plan(facts)
    settings_of(plan)  # what learning would refuse at each site is refused now
    if versions is not None:
        plan = replace(plan, stop=replace(plan.stop, versions=versions))
    return Study(task, draft.sites, draft.options, plan)


def overall(task: Task, vectors: Sequence[Vector], sites: Sequence[SiteData], metric: str | None = None) -> float:
    """A metric of one vector per site on that site's test patients, weighed by the task's `weight`."""
    name = metric or task.metric
    values = [task.evaluate(vector, data) for vector, data in zip(vectors, sites, strict=True)]
    known = [(value[name], value[task.weight]) for value in values if math.isfinite(value.get(name, math.nan))]
    weights = [weight for _, weight in known]
    if not sum(weights):
        raise _nothing_to_judge(name, {found for value in values for found in value})
    return float(np.average([value for value, _ in known], weights=weights))


def together(task: Task, vectors: Sequence[Vector], sites: Sequence[SiteData]) -> float:
    """The metric of all sites' test patients as one list, each judged by its own site's vector.

    A ranking metric needs it where a site has too few patients to rank: it compares patients of different sites.
    """
    outputs, targets = [], []
    pairs = zip(vectors, sites, strict=True)
    for _, group in itertools.groupby(pairs, key=lambda pair: id(pair[0])):  # sites of one model are judged at once
        vectors_of, sites_of = zip(*group, strict=True)
        patients = Patients.together([data.test for data in sites_of])
        if len(patients):
            outputs.append(task.predict(vectors_of[0], patients))
            targets.append(patients.targets)
    values = task.measured(np.concatenate(outputs), np.concatenate(targets)) if outputs else {}
    if not math.isfinite(values.get(task.metric, math.nan)):
        raise _nothing_to_judge(task.metric, set(values))
    return values[task.metric]


def _nothing_to_judge(metric: str, others: set[str]) -> LocalError:
    """`others`: the metrics that some site did give."""
    if NOT_FINITE in others:
        return LocalError(
            f"the model's outputs are not finite, so there is no {metric}",
            hint="a smaller training.learning_rate is the first thing to try",
        )
    if given := sorted(others - {"n-test"}):
        return LocalError(
            f"no site's test patients gave a finite {metric}; the task measured {', '.join(given)}",
            hint="is the task's `metric` spelt as a key of what `measure` returns, and defined for these patients?",
        )
    return LocalError(
        f"no site has test patients of whom {metric} could be told",
        hint="does the data hold patients of these sites, and does the split leave some of them for testing?",
    )


def run_once(study: Study, sites: Sequence[SiteData], *, seed: int, judge: Judge = overall) -> Outcome:
    """One federation and its two comparisons on the same patients.

    A site whose patients are all for testing on this split takes part in none of the three: see `without_training`.
    """
    untrained = without_training(sites)
    sites = [data for data in sites if data.site not in untrained]
    if not sites:
        raise LocalError("no site has a training patient", hint="does the split leave some of them for training?")
    task, learnt = study.task, federated(study.task, sites, study.plan, seed=seed)
    alone = [alone_of(task, data, study.training, seed=seed) for data in sites]
    everybody = task.pool(sites)
    pooled = alone_of(task, everybody, study.training, seed=seed)
    seen = [task.as_pooled(data, everybody) for data in sites]
    return Outcome(
        judge(task, alone, sites),
        judge(task, [learnt.vector] * len(sites), sites),
        judge(task, [pooled] * len(sites), seen),
        learnt.lengths,
        losses_of(task, sites, seen, seed=seed, federated=learnt.vector, pooled=pooled),
    )


def alone_of(task: Task, data: SiteData, training: TrainingSettings, *, seed: int) -> Vector:
    """What a site learns without the others. Raises TrainingError naming it."""
    try:
        return task.alone(data, training, seed=seed, progress=lambda _: None)
    except TrainingError as error:
        raise training_failed(data.site, error) from error


def losses_of(
    task: Task, sites: Sequence[SiteData], seen: Sequence[SiteData], *, seed: int, federated: Vector, pooled: Vector
) -> Losses:
    """Mean training loss by site, each weighed by its training patients; `seen`: as the pooled model wants them."""

    def mean(vector: Vector, parts: Sequence[SiteData]) -> float:
        weights = [len(data.train) for data in parts]
        return float(np.average([task.loss_on(vector, data.train) for data in parts], weights=weights))

    return Losses(mean(task.initial(seed), sites), mean(federated, sites), mean(pooled, seen))


def without_training(sites: Sequence[SiteData]) -> tuple[str, ...]:
    """Sites that have nobody to train on: there is no *alone* to compare them with."""
    return tuple(data.site for data in sites if not len(data.train))


def left_out(names: Sequence[str], sites: int) -> str:
    """The one sentence that says so, wherever sites are compared."""
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return f"left out of every figure: {len(names)} of {sites} sites, whose patients are all for testing: {shown}"


def summary(name: str, outcomes: Sequence[Outcome], *, higher_is_better: bool, metric: str, clip: float) -> str:
    """Means, the paired differences with their 95 % intervals (normal, over runs), and what deserves a word."""
    table = np.array([(run.alone, run.federated, run.pooled) for run in outcomes])
    alone, federated, pooled = table.mean(axis=0)
    words = advice.of_clip([length for run in outcomes for length in run.lengths], clip)
    if known := [run.losses for run in outcomes if run.losses is not None]:
        first, last, best = np.mean([(one.first, one.last, one.pooled) for one in known], axis=0)
        words += advice.of_learning(float(first), float(last), float(best))
    words += advice.of_comparison(float(alone), float(federated), higher_is_better=higher_is_better, metric=metric)
    return "\n".join(
        (
            f"{name}, {len(outcomes)} run{'s' if len(outcomes) > 1 else ''}: alone {alone:.4f}, "
            f"federated {federated:.4f}, pooled {pooled:.4f} "
            f"({metric}, {'higher' if higher_is_better else 'lower'} is better)",
            f"  federated - alone   {interval(table[:, 1] - table[:, 0])}",
            f"  federated - pooled  {interval(table[:, 1] - table[:, 2])}",
            f"  longest update {max(run.longest for run in outcomes):.3f}, clip {clip:g}",
            *(f"  look again: {one}" for one in words),
        )
    )


def differences(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    """The mean of paired differences over the runs, and their 95 % interval (normal); None where one run has none."""
    found = {
        "federated-alone": [run.federated - run.alone for run in outcomes],
        "federated-pooled": [run.federated - run.pooled for run in outcomes],
    }
    return {name: _interval_of(np.array(values)) for name, values in found.items()}


def _interval_of(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    mean = float(values.mean())
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(1.96 * values.std(ddof=1) / len(values) ** 0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """The mean of paired differences with its 95 % interval, or why there is none."""
    found = _interval_of(values)
    if found["low"] is None or found["high"] is None:
        return f"{found['mean']:+.4f} (no interval: one run says nothing of how much chance there is in it)"
    return f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
