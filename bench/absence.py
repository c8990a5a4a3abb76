"""What absence that goes with case mix does to a model, and what absence_cap does about it; on virtual time.

  python -m bench.absence heart --data <folder>
  python -m bench.absence eicu --data <folder>

The hospitals whose patients are most ill have a link that flaps, or one at night alone; the others always have one. The
ill are heart's Switzerland and VA, eicu's hospitals with a death among their training patients. A cohort is two
hospitals (heart) or 32 (eicu). Shown, as the mean over the later half of the versions, on all test patients: the share
of all counted weight by staleness that the ill have, the metric, and predicted minus observed risk, for all and for
the ill; 0 is a calibrated model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from bench.asynchrony import ENDLESS, SPREAD, STUDIES, TYPICAL
from learning.task import SiteData, Task, Vector
from registry.plans.authoring import author_draft
from registry.plans.draft import draft_of
from rehearsal import traces
from rehearsal.comparing import together
from rehearsal.learning import Patients, StudyJudge
from rehearsal.play import Setting, play
from rehearsal.speeds import drawn
from rehearsal.variants import Tables, read_tables
from schemas.errors import FederationError
from schemas.plan import Plan

GOAL = {"heart": 2, "eicu": 32}
DAYS = {"heart": 7, "eicu": 1}
CASES = {  # study -> (links of the ill, absence_cap, server_lr)
    "heart": (
        ("steady", 1, 1.0),
        ("flapping", 1, 1.0),
        ("flapping", 8, 1.0),
        ("nightly", 1, 1.0),
        ("nightly", 8, 1.0),
        ("nightly", 1, 0.2),
        ("nightly", 8, 0.2),
    ),
    "eicu": (("steady", 1, 1.0), ("flapping", 1, 1.0), ("flapping", 8, 1.0), ("nightly", 1, 1.0), ("nightly", 8, 1.0)),
}


class Calibration:
    """Judges a version by the metric and by predicted minus observed risk, for all sites and for the ill ones."""

    def __init__(self, rare: frozenset[str]) -> None:
        self.rare = rare
        self.seen: list[tuple[float, float, float]] = []

    def __call__(self, task: Task, vectors: Sequence[Vector], sites: Sequence[SiteData]) -> float:
        metric = together(task, vectors, sites)
        rare = [data for data in sites if data.site in self.rare]
        self.seen.append((metric, _excess(task, vectors[0], sites), _excess(task, vectors[0], rare)))
        return metric

    def later_half(self) -> tuple[float, float, float]:
        metric, overall, rare = zip(*self.seen[len(self.seen) // 2 :], strict=True)
        return mean(metric), mean(overall), mean(rare)


def rare_sites(study: str, patients: Patients) -> frozenset[str]:
    """The hospitals whose patients are most ill."""
    if study == "heart":
        return frozenset({"switzerland", "va"})
    return frozenset(name for name, data in patients.sites.items() if data.train.targets.any())


def plan_of(study: str, tables: Tables, cap: int, server_lr: float, seed: int) -> Plan:
    goal = GOAL[study]
    rule: dict[str, Any] = {"goal": goal, "minimum": goal, "cohort_min": goal}
    rule |= {"absence_cap": cap, "server_lr": server_lr}
    changed = {**tables, "study": {**tables["study"], "seed": seed}, "aggregation": rule, "stop": {"versions": ENDLESS}}
    return author_draft(draft_of(changed)).plan


def measured(study: str, plan: Plan, patients: Patients, links: str, seed: int) -> tuple[float, ...]:
    """(share of the ill in the weights, metric, excess risk of all, of the ill) under one plan."""
    rare = rare_sites(study, patients)
    calibration = Calibration(rare)
    setting = Setting(
        {site: drawn(TYPICAL, SPREAD, seed, site) for site in patients.sites},
        lambda site, until: traces.windows(links if site in rare else "steady", seed, site, until),
        seed,
        DAYS[study] * traces.DAY,
    )
    played = play(study, plan, setting, judge=lambda: StudyJudge(plan, patients, calibration, seed))
    shares = played.course.shares()
    return sum(shares[site] for site in calibration.rare), *calibration.later_half()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.absence", description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=tuple(GOAL))
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    tables = read_tables(STUDIES / given.study / "plan.toml")
    try:
        patients = Patients.load(draft_of(tables), given.data)
    except FederationError as error:
        print(f"{error}\n{getattr(error, 'hint', '')}", file=sys.stderr)
        return 2
    print(f"the ill: {len(rare_sites(given.study, patients))} of {len(patients.sites)} hospitals")
    head = f"share of the ill | {patients.task.metric} | excess risk | excess risk of the ill"
    print(f"| links of the ill | absence_cap | server_lr | {head} |\n|---|---|---|---|---|---|---|")
    for links, cap, server_lr in CASES[given.study]:
        rows = [
            measured(given.study, plan_of(given.study, tables, cap, server_lr, seed), patients, links, seed)
            for seed in range(given.seeds)
        ]
        shown = [f"{mean(column):.3f} ({min(column):.3f} to {max(column):.3f})" for column in zip(*rows, strict=True)]
        print(f"| {links} | {cap} | {server_lr} | {' | '.join(shown)} |", flush=True)
    return 0


def _excess(task: Task, vector: Vector, sites: Sequence[SiteData]) -> float:
    """Predicted minus observed risk over all test patients of `sites`."""
    tested = [data.test for data in sites if len(data.test)]
    outputs = np.concatenate([task.predict(vector, patients)[:, 0] for patients in tested])
    return float((1 / (1 + np.exp(-outputs))).mean() - np.concatenate([one.targets for one in tested]).mean())


if __name__ == "__main__":
    sys.exit(main())
