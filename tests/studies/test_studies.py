"""The ready studies: their data, sites and splits, their plans, and that they learn what their READMEs promise."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.entry import folder_digest, load_task, task_folder
from learning.task import DataSource, SiteData, Task
from registry.plans.draft import read_draft
from rehearsal import comparing
from rehearsal.comparing import Outcome, overall, read_study
from rehearsal.federated import federated
from schemas.errors import LocalError
from studies.breast.task import task as breast
from studies.lung.task import SITES as LUNG_SITES
from studies.lung.task import task as lung
from wardround.cli import main

STUDIES = Path(comparing.__file__).parents[1] / "studies"
PLANS = sorted(STUDIES.glob("*/plan*.toml"))


def sites_of(plan: str) -> tuple[Task, list[SiteData]]:
    study = read_study(STUDIES / plan)
    return study.task, study.load(None)


def test_all_six_plans_are_here() -> None:
    ids = {tomllib.loads(plan.read_text())["study"]["id"] for plan in PLANS}
    assert ids == {"lung", "breast", "heart", "eicu", "linear-regression-plain", "linear-regression-weighted"}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.parent.name}-{plan.stem}")
def test_a_plan_reads_and_names_a_task_that_loads(plan: Path) -> None:
    draft = read_draft(plan.read_text(), where=plan.name)
    task = load_task(draft.entry)
    assert folder_digest(task_folder(draft.entry)) == folder_digest(plan.parent)
    assert task.initial(draft.seed).shape == (task.parameters(),)
    study = read_study(plan)
    assert study.plan.aggregation.goal <= len(study.sites)


def test_a_run_reads_as_a_line() -> None:
    assert (
        str(Outcome(0.5, 0.61234, 0.7, (0.1, 0.25)))
        == "alone 0.5000, federated 0.6123, pooled 0.7000, longest update 0.250"
    )


def test_lung_has_227_patients_of_18_institutions_in_six_sites_alike() -> None:
    task, sites = sites_of("lung/plan.toml")
    assert [len(data.train) + len(data.test) for data in sites] == [40, 37, 38, 38, 37, 37]
    assert sum(len(institutions) for institutions in LUNG_SITES.values()) == 18
    assert task.parameters() == 7
    assert all(np.isfinite(data.train.inputs).all() for data in sites)


def test_breast_is_skewed_in_label_and_size_and_has_6274_parameters() -> None:
    task, sites = sites_of("breast/plan.toml")
    sizes = [len(data.train) + len(data.test) for data in sites]
    assert sum(sizes) == 569
    assert max(sizes) > 2 * min(sizes)
    benign = [float(data.train.targets.mean()) for data in sites]
    assert benign[0] > 0.9
    assert benign[-1] < 0.1
    assert task.parameters() == 6274


def test_breast_fits_on_one_page() -> None:
    assert len((STUDIES / "breast" / "task.py").read_text().splitlines()) < 66


@pytest.mark.parametrize("task", [lung, breast])
def test_another_split_moves_patients_between_training_and_test_and_loses_none(task: Task) -> None:
    site = next(iter(LUNG_SITES)) if task is lung else "clinic-01"
    one, two = (task.load(DataSource(site, options={"split": split})) for split in ("0", "1"))
    again = task.load(DataSource(site, options={"split": "0"}))
    np.testing.assert_array_equal(one.test.inputs, again.test.inputs)
    assert one.test.inputs.shape != two.test.inputs.shape or (one.test.inputs != two.test.inputs).any()

    def everyone(data: SiteData) -> list[list[float]]:
        return sorted(np.concatenate([data.train.inputs, data.test.inputs]).tolist())

    assert everyone(one) == everyone(two)


@pytest.mark.parametrize("entry", ["lung", "breast", "heart", "eicu", "linear_regression"])
def test_a_site_that_a_study_does_not_have_is_told_which_it_has(entry: str) -> None:
    with pytest.raises(LocalError, match="no site nowhere") as caught:
        load_task(f"studies.{entry}.task:task").load(DataSource("nowhere"))
    assert "sites" in caught.value.hint


def test_the_c_index_is_left_out_where_no_pair_is_comparable() -> None:
    assert lung.measure(np.zeros((2, 1)), np.array([[5.0, 0.0], [9.0, 0.0]])) == {"pairs": 0.0}


def test_lung_gains_over_alone_and_comes_near_pooled() -> None:
    """Three splits of the twenty of its README: enough to notice that something broke."""
    study = read_study(STUDIES / "lung" / "plan.toml")
    runs = [comparing.run_once(study, study.load(None, split=str(split)), seed=split) for split in range(3)]
    alone, federated, pooled = (
        float(np.mean([getattr(run, kind) for run in runs])) for kind in ("alone", "federated", "pooled")
    )
    assert federated > alone + 0.02
    assert federated > pooled - 0.05
    assert max(run.longest for run in runs) < 1.0  # the plan's clip


def test_breast_comes_near_pooled_in_a_hundred_versions() -> None:
    study = read_study(STUDIES / "breast" / "plan.toml", versions=100)
    sites = study.load(None)
    learnt = federated(study.task, sites, study.plan, seed=0)
    everybody = study.task.pool(sites)
    pooled = study.task.alone(everybody, study.training, seed=0, progress=lambda _: None)
    wanted = overall(study.task, [pooled], [everybody])
    assert overall(study.task, [learnt.vector] * 10, sites) > max(0.95, wanted - 0.02)
    assert max(learnt.lengths) < 1.0  # the plan's clip


def test_a_comparison_prints_its_summary_and_refuses_what_is_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(STUDIES / "linear_regression" / "plan_plain.toml"), "--seeds", "1"]) == 0
    assert "federated - pooled" in capsys.readouterr().out
    assert main(["compare", "no_such_study"]) == 2
    assert "no_such_study/plan.toml cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--splits", "-1"], "--splits -1 is too small"),
        (["--seeds", "0"], "--seeds 0 is too small"),
        (["--versions", "0"], "--versions 0 is too small"),
        (["--option", "split"], "--option split is no KEY=TEXT"),
    ],
)
def test_a_comparison_of_nothing_is_refused_in_words(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(LINE), *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_a_script_gets_each_run_and_the_paired_differences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(LINE), "--seeds", "2", "--versions", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in told["runs"]] == [0, 1]
    gain = [run["federated"] - run["alone"] for run in told["runs"]]
    assert told["differences"]["federated-alone"]["mean"] == pytest.approx(sum(gain) / 2)


def test_a_site_whose_patients_cannot_be_loaded_ends_a_comparison_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(self: object, source: DataSource) -> SiteData:
        raise KeyError("patient")

    monkeypatch.setattr(type(load_task("studies.linear_regression.task:task")), "load", load)
    assert main(["compare", str(STUDIES / "linear_regression" / "plan_plain.toml"), "--seeds", "1"]) == 2
    told = capsys.readouterr().err
    assert "the task studies.linear_regression.task cannot load the patients of" in told
    assert "KeyError (test_studies.py, line" in told
    assert "--data is not set" in told


def test_a_comparison_finds_a_study_beside_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "line_of_my_own"
    shutil.copytree(STUDIES / "linear_regression", folder)
    plan, own = folder / "plan_plain.toml", "line_of_my_own.task:task"
    plan.write_text(plan.read_text().replace("studies.linear_regression.task:task", own))
    assert main(["compare", str(plan), "--seeds", "1", "--versions", "2"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("judge", [comparing.overall, comparing.together])
def test_a_study_without_a_test_patient_says_that_there_is_nothing_to_judge(judge: comparing.Judge) -> None:
    task, sites = sites_of("linear_regression/plan_plain.toml")
    untested = [SiteData(data.site, data.train, data.train.take(np.arange(0)), data.bytes_data) for data in sites]
    with pytest.raises(LocalError, match="no site has test patients"):
        judge(task, [task.initial(0)] * len(sites), untested)


def test_bytes_of_raw_data_are_those_of_the_site() -> None:
    shares: dict[str, Any] = {data.site: data.bytes_data for data in sites_of("breast/plan.toml")[1]}
    assert sum(shares.values()) == pytest.approx(119_913, abs=5)


LINE = STUDIES / "linear_regression" / "plan_plain.toml"


def test_a_misspelt_key_ends_a_comparison_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(LINE.read_text().replace("[aggregation]", "[aggregation]\ngoaal = 3"))
    assert main(["compare", str(plan), "--seeds", "1"]) == 2
    told = capsys.readouterr()
    assert "unknown key aggregation.goaal; did you mean `goal`?" in told.err
    assert told.out == ""


def test_one_run_has_no_interval_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(LINE), "--seeds", "1", "--versions", "2"]) == 0
    told = capsys.readouterr().out
    assert "nan" not in told
    assert "no interval: one run" in told


def test_a_metric_that_no_site_measures_is_told_from_patients_that_are_missing() -> None:
    task, sites = sites_of("linear_regression/plan_plain.toml")
    with pytest.raises(LocalError, match=r"finite msee; the task measured mse") as caught:
        overall(task, [task.initial(0)] * len(sites), sites, "msee")
    assert "spelt" in caught.value.hint


def test_what_deserves_a_word_follows_the_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    text = LINE.read_text()
    plan.write_text(re.sub(r"(?m)^clip = .*$", "clip = 0.001", text))
    assert plan.read_text() != text
    assert main(["compare", str(plan), "--seeds", "2", "--versions", "3"]) == 0
    told = capsys.readouterr().out
    assert "look again: updates are clipped" in told
    assert "look again: the study ends before it has learnt" in told
    assert "look again: federated stays below alone" in told


def test_sites_whose_patients_are_all_for_testing_are_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task, sites = sites_of("linear_regression/plan_plain.toml")
    nobody = [SiteData(data.site, data.train.take(np.arange(0)), data.test, 0) for data in sites[:2]]
    monkeypatch.setattr(comparing.Study, "load", lambda *_, **__: [*nobody, *sites[2:]])
    assert main(["compare", str(LINE), "--seeds", "1", "--versions", "2"]) == 0
    told = capsys.readouterr().out
    assert (
        told.count("left out of every figure: 2 of 10 sites, whose patients are all for testing: site-010, site-020")
        == 1
    )
    with pytest.raises(LocalError, match="no site has a training patient"):
        comparing.run_once(read_study(LINE), nobody, seed=0)
    assert task.metric == "mse"
