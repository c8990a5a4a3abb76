"""What `plan init` writes learns: the guide's template study, on made patients."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

from bench.defaults.made import write_ward
from learning import advice
from learning.places import look_in
from registry.plans.draft import draft_of
from registry.plans.template import plan_of_task
from rehearsal.comparing import run_once, study_of


def test_the_guides_template_gains_by_federating_at_the_defaults(tmp_path: Path) -> None:
    entry, tables, sites = write_ward(tmp_path)
    look_in(tmp_path)
    study = study_of(draft_of(tomllib.loads(plan_of_task(entry, study="ward", sites=sites))))
    runs = [run_once(study, study.load(tables, split=str(split)), seed=split) for split in range(3)]
    alone, federated, pooled = (
        np.mean([getattr(run, name) for run in runs]) for name in ("alone", "federated", "pooled")
    )
    assert federated >= alone - 0.01
    assert federated >= pooled - 0.02
    assert advice.of_clip([length for run in runs for length in run.lengths], study.plan.encoding.clip) == []
    for run in runs:
        assert run.losses is not None
        assert advice.of_learning(run.losses.first, run.losses.last, run.losses.pooled) == []
