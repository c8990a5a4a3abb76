"""The heart study: FLamby's protocol to the row, and accuracy as its README says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.task import DataSource, SiteData, TrainingSettings
from rehearsal import comparing
from rehearsal.comparing import overall, read_study
from rehearsal.federated import federated
from schemas.errors import LocalError
from studies.heart.task import SITES, task

PLAN = Path(comparing.__file__).parents[1] / "studies" / "heart" / "plan.toml"
FLAMBY_POOLED = TrainingSettings("adam", 0.001, epochs=50, batch=4)


def load(folder: Path, **options: str) -> list[SiteData]:
    return [task.load(DataSource(site, folder, options)) for site in SITES]


def test_rows_and_split_are_flambys(heart_folder: Path) -> None:
    sites = load(heart_folder)
    assert [(len(data.train), len(data.test)) for data in sites] == [(199, 104), (172, 89), (30, 16), (85, 45)]
    assert [data.bytes_data for data in sites] == [18461, 10263, 4109, 6737]
    larger = [task.measure(np.ones((len(data.test), 1)), data.test.targets)["larger-class"] for data in sites]
    np.testing.assert_allclose(larger, [0.538, 0.629, 0.938, 0.778], atol=6e-4)


def test_scaling_by_hospital_uses_its_training_rows_and_pooling_all_of_them(heart_folder: Path) -> None:
    sites = load(heart_folder, scaling="hospital")
    for data in sites:
        np.testing.assert_allclose(data.train.inputs.mean(axis=0), 0, atol=1e-6)
    pooled = task.pool(sites)
    np.testing.assert_allclose(pooled.train.inputs.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(pooled.train.inputs.std(axis=0, ddof=1), 1, atol=1e-6)
    again = np.concatenate([task.as_pooled(data, pooled).test.inputs for data in sites])
    np.testing.assert_allclose(again, pooled.test.inputs, atol=1e-9)


def test_constants_are_the_same_rows_for_everybody(heart_folder: Path) -> None:
    sites = load(heart_folder)
    pooled = task.pool(sites)
    np.testing.assert_allclose(np.concatenate([data.test.inputs for data in sites]), pooled.test.inputs, atol=1e-12)


def test_the_pooled_model_reaches_flambys_accuracy(heart_folder: Path) -> None:
    pooled = task.pool(load(heart_folder, scaling="hospital"))
    start = task.initial(42)
    update = task.train(start, pooled, FLAMBY_POOLED, seed=42, progress=lambda _: None, cancelled=lambda: False)
    assert task.evaluate(start + update, pooled)["accuracy"] == pytest.approx(0.795, abs=0.008)


def test_federated_over_five_seeds_is_within_a_hundredth_of_pooled(heart_folder: Path) -> None:
    study = read_study(PLAN)
    sites, scores = study.load(heart_folder), []
    everybody = task.pool(sites)
    for seed in range(42, 47):
        vector = federated(task, sites, study.plan, seed=seed).vector
        pooled = task.alone(everybody, study.training, seed=seed, progress=lambda _: None)
        scores.append((overall(task, [vector] * 4, sites), overall(task, [pooled], [everybody])))
    met, pooled_mean = np.mean(scores, axis=0)
    assert met > 0.748
    assert abs(met - pooled_mean) < 0.01


def test_auc_is_left_out_where_everybody_is_ill() -> None:
    values = task.measure(np.array([[1.0], [-1.0]]), np.array([1, 1]))
    assert values == {"accuracy": 0.5, "larger-class": 1.0}
    assert task.measure(np.array([[1.0], [1.0], [0.0]]), np.array([1, 0, 0]))["auc"] == 0.75


def test_without_its_folder_or_with_a_wrong_one_the_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="needs the folder"):
        task.load(DataSource("va"))
    with pytest.raises(LocalError, match=r"processed\.va\.data cannot be read"):
        task.load(DataSource("va", tmp_path))


def test_a_row_outside_the_contract_is_refused_by_column(tmp_path: Path) -> None:
    (tmp_path / "processed.va.data").write_text("63,1,1,145,777,1,2,150,0,2.3,3,0,6,9\n")
    with pytest.raises(LocalError, match="column num: 1 of 1 rows") as caught:
        task.load(DataSource("va", tmp_path))
    assert "777" not in str(caught.value)


def test_options_that_mean_nothing_are_refused(heart_folder: Path) -> None:
    for options in ({"scaling": "mine"}, {"split": "x"}):
        with pytest.raises(LocalError, match="option"):
            task.load(replace(DataSource("va", heart_folder), options=options))
