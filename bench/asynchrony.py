"""Does it pay not to wait? FedBuff, FedAsync and synchronous FedAvg on virtual time, by their metric against time.

  python -m bench.asynchrony heart --data <folder> --seeds 5
  python -m bench.asynchrony eicu --data <folder> --seeds 5

Hospitals with their real patients and the study's own task; links of the built-in profiles nightly and flapping; a
training takes 30 minutes in the median, two hospitals in three within a factor of two. A seed draws links, speeds,
start values and batches. The target is 0.99 of the pooled model's metric at the same seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from registry.plans.authoring import author_draft
from registry.plans.draft import draft_of
from rehearsal import comparing, traces
from rehearsal.comparing import together
from rehearsal.learning import NEAR, Patients, StudyJudge
from rehearsal.play import Played, Setting, play
from rehearsal.speeds import Speed, drawn
from rehearsal.variants import Tables, read_tables
from schemas.errors import FederationError
from schemas.plan import Plan

STUDIES = Path(comparing.__file__).parents[1] / "studies"
DAYS: Mapping[str, Mapping[str, int]] = {  # that are played
    "heart": {"nightly": 7, "flapping": 3},
    "eicu": {"nightly": 3, "flapping": 1},
}
MIXING = {"heart": 0.6, "eicu": 0.1}  # FedAsync's rate: of 0.6 and 0.1 the one that held the target sooner at seed 0
GOALS = {"heart": (2, 3), "eicu": (8, 32)}
DEADLINES_H = {"heart": (1, 8, 24), "eicu": (1, 8)}
TYPICAL = Speed(train_s=1800, up_bytes_s=250_000, down_bytes_s=1_250_000)
SPREAD = 2.0
ENDLESS = 1_000_000  # versions: the limit ends a history, the same for every strategy


@dataclass(frozen=True, slots=True)
class Run:
    """One history's figures, in hours; None: never."""

    reached_h: float | None
    held_h: float | None
    last: float
    pooled: float
    versions: int
    counted: int
    wasted: float


def strategies(study: str, plan: Mapping[str, Any], sites: int) -> dict[str, Mapping[str, Any]]:
    """Name -> [aggregation]. `synchronous` waits for all, at its deadline for half, and drops what is late."""
    found: dict[str, Mapping[str, Any]] = {
        f"FedBuff, goal {goal}": {**plan, "goal": goal, "minimum": goal, "cohort_min": goal} for goal in GOALS[study]
    }
    one = {"preset": "fedasync", "goal": 1, "minimum": 1, "cohort_min": 1, "server_lr": MIXING[study]}
    half = max(2, sites // 2)
    all_sites = {"preset": "fedavg", "goal": sites, "minimum": half, "cohort_min": half, "staleness_max": 0}
    found |= {f"FedAsync, {MIXING[study]}": one}
    return found | {
        f"synchronous, {hours} h": {**all_sites, "deadline_s": hours * 3600} for hours in DEADLINES_H[study]
    }


def plan_of(tables: Tables, aggregation: Mapping[str, Any], seed: int) -> Plan:
    changed = {
        **tables,
        "study": {**tables["study"], "seed": seed},
        "aggregation": dict(aggregation),
        "stop": {"versions": ENDLESS},
    }
    return author_draft(draft_of(changed)).plan


def play_one(plan: Plan, patients: Patients, profile: str, days: int, seed: int) -> Played:
    """One strategy under one profile."""
    speeds = {site: drawn(TYPICAL, SPREAD, seed, site) for site in patients.sites}
    setting = Setting(
        speeds,
        lambda site, until_ms: traces.windows(profile, seed, site, until_ms),
        seed,
        days * traces.DAY,
    )
    return play(plan.study, plan, setting, judge=lambda: StudyJudge(plan, patients, together, seed))


def run_of(played: Played, pooled: float) -> Run:
    target = pooled * NEAR
    times = (played.reached_ms(target), played.held_ms(target))
    hours = [None if at is None else at / traces.HOUR for at in times]
    course = played.course
    return Run(hours[0], hours[1], played.curve[-1][1], pooled, course.versions, course.counted, course.wasted)


def lines(runs: Sequence[Run]) -> list[str]:
    """The cells of one strategy under one profile."""
    return [
        _hours([run.reached_h for run in runs]),
        _hours([run.held_h for run in runs]),
        f"{sum(run.last for run in runs) / len(runs):.3f}",
        f"{median(run.versions for run in runs):.0f}",
        f"{median(run.counted for run in runs):.0f}",
        f"{sum(run.wasted for run in runs) / len(runs):.0%}",
    ]


def _hours(times: Sequence[float | None]) -> str:
    """'9.1 h (8.2-10.4)', and how many of the seeds where not all got there; the median counts never as latest."""
    known = sorted(at for at in times if at is not None)
    if 2 * len(known) <= len(times):
        return f"never in {len(times) - len(known)} of {len(times)}"
    middle = sorted(times, key=lambda at: float("inf") if at is None else at)[len(times) // 2]
    short = "" if len(known) == len(times) else f", {len(known)} of {len(times)}"
    return f"{middle:.1f} ({known[0]:.1f}-{known[-1]:.1f}{short})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.asynchrony", description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=("heart", "eicu"))
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--profile", choices=("nightly", "flapping"), help="these links alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run")
    given = parser.parse_args(arguments)
    tables = read_tables(STUDIES / given.study / "plan.toml")
    try:
        patients = Patients.load(draft_of(tables), given.data)
    except FederationError as error:
        print(f"{error}\n{getattr(error, 'hint', '')}", file=sys.stderr)
        return 2
    found: dict[str, list[Run]] = {}
    print("| links | strategy | h until the target | h for good | at the end | versions | updates | wasted |")
    print("|---|---|---|---|---|---|---|---|")
    for profile, days in DAYS[given.study].items():
        if given.profile not in (None, profile):
            continue
        for name, rule in strategies(given.study, tables["aggregation"], len(patients.sites)).items():
            runs = found[f"{profile}, {name}"] = []
            for seed in range(given.seeds):
                plan = plan_of(tables, rule, seed)
                runs.append(run_of(play_one(plan, patients, profile, days, seed), patients.pooled(plan, together)))
            print(f"| {profile} | {name} | {' | '.join(lines(runs))} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, default=lambda run: {n: getattr(run, n) for n in Run.__slots__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
