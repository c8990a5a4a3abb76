"""Measure what to expect of a study: alone, federated and pooled, over several splits or seeds, in one process.

  python -m studies.experiment lung --splits 20          a new split for each, the paired gain over alone
  python -m studies.experiment breast --seeds 5          one split, new start values for each
  python -m studies.experiment heart --seeds 5 --first 42 --data <folder>
  python -m studies.experiment eicu --splits 10 --together --data <folder>

Settings come from the study's plan.toml. The federation is `studies.federate`: staleness and partial cohorts, no wire.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from learning.entry import load_task, module_of
from learning.quarantine import Quarantine
from learning.task import DataSource, FederationError, LocalError, Patients, SiteData, Task, TrainingSettings, Vector
from studies.federate import Aggregation, federate

Judge = Callable[[Task, Sequence[Vector], Sequence[SiteData]], float]


@dataclass(frozen=True, slots=True)
class Study:
    """A study's plan, as far as an experiment needs it."""

    task: Task
    sites: tuple[str, ...]
    options: Mapping[str, str]
    training: TrainingSettings
    aggregation: Aggregation
    bad_records_max: float = 0.0

    def load(self, folder: Path | None, **options: str) -> list[SiteData]:
        merged = {**self.options, **options}
        share = self.bad_records_max
        sources = [DataSource(site, folder, merged, Quarantine(share)) for site in self.sites]
        return [patients_of(self.task, source) for source in sources]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The primary metric over all sites of one run, as `overall` or `together` says; `largest`: longest update."""

    alone: float
    federated: float
    pooled: float
    largest: float

    def __str__(self) -> str:
        return (
            f"alone {self.alone:.4f}, federated {self.federated:.4f}, pooled {self.pooled:.4f}, "
            f"longest update {self.largest:.3f}"
        )


def patients_of(task: Task, source: DataSource) -> SiteData:
    """A site's patients. Raises LocalError, naming the task, whatever goes wrong while they are loaded."""
    try:
        return task.load(source)
    except FederationError:
        raise
    except Exception as error:  # a task is its author's code: a missing folder or column ends it as it happens
        hint = "is this the folder that the task reads, with the files and columns that it asks for?"
        if source.folder is None:
            hint = "--data is not set: a study that does not bring its own data needs the folder with them"
        name = module_of(task)
        raise LocalError(
            f"the task {name} cannot load the patients of {source.site}: {type(error).__name__}: {error}", hint=hint
        ) from error


def read_study(plan: Path, versions: int | None = None) -> Study:
    """The study of a plan.toml, for its own or another number of versions. Raises LocalError when it cannot be read."""
    try:
        sections = tomllib.loads(plan.read_text("utf-8"))
        names, written = {field.name for field in fields(Aggregation)}, sections["aggregation"]
        rule = preset_rule(written.get("preset", "fedbuff"), len(sections["members"]["sites"]))
        rule |= {name: value for name, value in written.items() if name in names}
        if rule.get("staleness", "polynomial") not in ("polynomial", "constant") or "exponent" in written:
            raise LocalError("an experiment knows staleness polynomial (exponent 0.5) and constant only")
        training: dict[str, Any] = {"epochs": 0 if sections["training"].get("steps") else 1, **sections["training"]}
        training.pop("progress_limit_s", None)  # nobody waits for an experiment
        return Study(
            load_task(sections["task"]["entry"]),
            tuple(sections["members"]["sites"]),
            sections["task"].get("options", {}),
            TrainingSettings(**training),
            Aggregation(
                **rule,
                versions=versions or sections["stop"]["versions"],
                examples=sections.get("privacy", {}).get("examples", False),
            ),
            sections.get("data", {}).get("bad_records_max", 0.0),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LocalError(f"{plan} is no plan an experiment can run: {error}") from error


def preset_rule(preset: str, sites: int) -> dict[str, Any]:
    """What a plan's preset sets where its author does not, as schemas.plan_presets, which a test compares.

    Raises LocalError for a preset that there is not.
    """
    if preset not in ("fedbuff", "fedavg", "fedasync"):
        raise LocalError(f"aggregation.preset `{preset}` is none of fedbuff, fedavg, fedasync")
    goal = {"fedasync": 1, "fedavg": sites}.get(preset, max(1, round(2 * sites / 3)))
    return {"goal": goal, "staleness": "constant" if preset == "fedavg" else "polynomial"}


def overall(task: Task, vectors: Sequence[Vector], sites: Sequence[SiteData], metric: str | None = None) -> float:
    """A metric of one vector per site on that site's test patients, weighed by the task's `weight`."""
    values = [task.evaluate(vector, data) for vector, data in zip(vectors, sites, strict=True)]
    known = [(value[metric or task.metric], value[task.weight]) for value in values if (metric or task.metric) in value]
    weights = [weight for _, weight in known]
    if not sum(weights):
        raise _nothing_to_judge(metric or task.metric)
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
    values = task.measure(np.concatenate(outputs), np.concatenate(targets)) if outputs else {}
    if task.metric not in values:
        raise _nothing_to_judge(task.metric)
    return values[task.metric]


def _nothing_to_judge(metric: str) -> LocalError:
    return LocalError(
        f"no site has test patients of whom {metric} could be told",
        hint="does the data hold patients of these sites, and does the split leave some of them for testing?",
    )


def run_once(study: Study, sites: Sequence[SiteData], *, seed: int, judge: Judge = overall) -> Outcome:
    """One federation and its two comparisons on the same patients.

    A site whose patients are all for testing on this split takes part in none of the three.
    """
    sites = [data for data in sites if len(data.train)]
    task, quiet, largest = study.task, lambda share: None, list[float]()
    federated = federate(task, sites, study.training, study.aggregation, seed=seed, largest=largest)
    alone = [task.alone(data, study.training, seed=seed, progress=quiet) for data in sites]
    everybody = task.pool(sites)
    pooled = task.alone(everybody, study.training, seed=seed, progress=quiet)
    seen = [task.as_pooled(data, everybody) for data in sites]
    return Outcome(
        judge(task, alone, sites),
        judge(task, [federated] * len(sites), sites),
        judge(task, [pooled] * len(sites), seen),
        max(largest),
    )


def summary(name: str, outcomes: Sequence[Outcome]) -> str:
    """Means, and the paired differences with their 95 % intervals (normal, over runs)."""
    table = np.array([(run.alone, run.federated, run.pooled) for run in outcomes])
    alone, federated, pooled = table.mean(axis=0)
    return "\n".join(
        (
            f"{name}, {len(outcomes)} runs: alone {alone:.4f}, federated {federated:.4f}, pooled {pooled:.4f}",
            f"  federated - alone   {_interval(table[:, 1] - table[:, 0])}",
            f"  federated - pooled  {_interval(table[:, 1] - table[:, 2])}",
            f"  longest update {max(run.largest for run in outcomes):.3f}",
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m studies.experiment", description=__doc__.splitlines()[0])
    parser.add_argument("study", help="a folder under studies/, or the path of a plan.toml")
    parser.add_argument("--splits", type=int, default=0, help="so many runs, each on a split of its own")
    parser.add_argument("--seeds", type=int, default=5, help="so many runs on the plan's split (without --splits)")
    parser.add_argument("--first", type=int, default=0, help="number of the first split or seed")
    parser.add_argument("--versions", type=int, help="so many versions instead of the plan's")
    parser.add_argument("--data", type=Path, help="the folder with the data, for studies that do not ship them")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=TEXT", help="a task option; repeatable")
    parser.add_argument("--together", action="store_true", help="judge all sites' test patients as one list")
    given = parser.parse_args(arguments)
    judge: Judge = together if given.together else overall
    options = dict(pair.partition("=")[::2] for pair in given.option)
    try:
        path = Path(given.study) if given.study.endswith(".toml") else Path(__file__).parent / given.study / "plan.toml"
        study, outcomes = read_study(path, given.versions), []
        for number in range(given.first, given.first + (given.splits or given.seeds)):
            split = {"split": str(number)} if given.splits else {}
            outcomes.append(run_once(study, study.load(given.data, **options, **split), seed=number, judge=judge))
            print(f"{number}: {outcomes[-1]}", flush=True)
    except FederationError as error:
        print(f"{error}\n{getattr(error, 'hint', '')}", file=sys.stderr)
        return 2
    print(summary(given.study, outcomes))
    return 0


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():+.4f} ({values.mean() - half:+.4f} to {values.mean() + half:+.4f})"


if __name__ == "__main__":
    sys.exit(main())
