"""Splits, intervals, pooling and early stopping: what every task inherits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.pieces import Pieces, finish
from learning.task import (
    NOT_FINITE,
    DataSource,
    Patients,
    TrainingError,
    TrainingSettings,
    hashed_share,
    is_test,
    not_finite,
    train_until_no_better,
)
from studies.linear_regression.task import LinearRegression
from tests.learning.toy import Toy, patients, quiet

GOLDEN = [True, False, False, False, False, False, False, False]
GOLDEN_SHARE = 0.20370072346790025
TRAINING = TrainingSettings("adam", 0.05, epochs=1, batch=8)


def test_the_split_of_a_patient_never_moves() -> None:
    """These values are for ever: another hash would train on patients that earlier models were tested on."""
    assert [is_test("lung", "0", str(number), share=0.3) for number in range(8)] == GOLDEN
    assert hashed_share("site", "breast", "0") == pytest.approx(GOLDEN_SHARE, abs=1e-12)


def test_the_split_takes_its_share_and_salts_give_other_splits() -> None:
    chosen = np.array([[is_test("lung", split, str(n), share=0.3) for n in range(4000)] for split in ("0", "1")])
    assert np.abs(chosen.mean(axis=1) - 0.3).max() < 0.03
    assert (chosen[0] & chosen[1]).mean() == pytest.approx(0.09, abs=0.02)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_share_lies_between_zero_and_one(words: list[str]) -> None:
    assert 0 <= hashed_share(*words) < 1


def test_evaluation_tells_metric_and_number_of_test_patients() -> None:
    task = Toy()
    data = task.load(DataSource("site"))
    values = task.evaluate(task.initial(0), data)
    assert values["n-test"] == 20
    assert 0 <= values["accuracy"] <= 1
    nobody = replace(data, test=patients(0))
    assert task.evaluate(task.initial(0), nobody) == {"n-test": 0.0}
    assert task.interval(task.initial(0), nobody) is None


def test_the_interval_is_seeded_and_holds_the_metric() -> None:
    task = Toy()
    data = task.load(DataSource("site"))
    vector = task.alone(data, TRAINING, seed=0, progress=quiet)
    found = task.interval(vector, data, seed=1)
    assert found == task.interval(vector, data, seed=1)
    assert found is not None
    assert found[0] <= task.evaluate(vector, data)["accuracy"] <= found[1]
    assert found[0] < found[1]


def test_a_metric_that_is_mostly_undefined_has_no_interval() -> None:
    class Undefined(Toy):
        def measure(self, outputs: object, targets: object) -> dict[str, float]:
            return {}

    task = Undefined()
    assert task.interval(task.initial(0), task.load(DataSource("site")), resamples=10) is None


@pytest.mark.parametrize(("patients_tested", "kind"), [(2, Toy), (4, Toy), (20, "always right")])
def test_where_resampling_cannot_give_an_interval_there_is_none(patients_tested: int, kind: object) -> None:
    class AlwaysRight(Toy):
        def measure(self, outputs: object, targets: object) -> dict[str, float]:
            return {"accuracy": 1.0}

    task = Toy() if kind is Toy else AlwaysRight()
    data = task.load(DataSource("site"))
    few = replace(data, test=data.test.take(np.arange(patients_tested)))
    assert task.interval(task.initial(0), few, resamples=100) is None


def test_pooling_keeps_every_patient_in_its_part() -> None:
    task = Toy()
    sites = [task.load(DataSource(name)) for name in ("a", "b", "c")]
    pooled = task.pool(sites)
    assert (len(pooled.train), len(pooled.test), pooled.bytes_data) == (120, 60, 1440)
    assert task.as_pooled(sites[0], pooled) is sites[0]


@pytest.mark.parametrize("kind", [Toy, LinearRegression])
def test_alone_learns_and_is_repeatable(kind: type[Toy] | type[LinearRegression]) -> None:
    task = kind()
    training = TRAINING if kind is Toy else TrainingSettings("sgd", 0.1, epochs=0, steps=1, batch=0)
    data = task.load(DataSource("site-050"))
    vector = task.alone(data, training, seed=0, progress=quiet)
    assert vector.dtype == np.float32
    assert task.loss_on(vector, data.test) < 0.5 * task.loss_on(task.initial(0), data.test)
    np.testing.assert_array_equal(vector, task.alone(data, training, seed=0, progress=quiet))


def test_alone_never_sees_a_test_patient() -> None:
    task = Toy()
    data = task.load(DataSource("site"))
    other = replace(data, test=patients(20, seed=8))
    one, two = (task.alone(part, TRAINING, seed=0, progress=quiet) for part in (data, other))
    np.testing.assert_array_equal(one, two)


def walk(losses: Sequence[float], n: int = 10) -> tuple[float, int, int]:
    """(epoch that was kept, epochs run, patients per epoch) where validation losses are these, the start's first."""
    sizes: list[int] = []

    def epoch(vector: np.ndarray, part: Patients) -> Pieces[np.ndarray]:
        sizes.append(len(part))
        yield 1.0
        return np.asarray(vector + 1, np.float32)

    start = np.zeros(1, np.float32)
    kept = finish(train_until_no_better(start, epoch, lambda vector, part: losses[int(vector[0])], patients(n), seed=0))
    return float(kept[0]), len(sizes), sizes[0]


def test_early_stopping_keeps_the_best_and_waits_ten_epochs() -> None:
    assert walk([9, 5, 3, 4, 2] + [3] * 20) == (4, 14, 8)


def test_early_stopping_ends_after_a_hundred_epochs() -> None:
    assert walk([200.0 - epoch for epoch in range(101)]) == (100, 100, 8)


def test_the_untrained_start_is_never_kept() -> None:
    assert walk([0.0] + [9.0] * 20) == (1, 11, 8)


def test_a_loss_that_is_not_a_number_is_never_kept() -> None:
    assert walk([9.0, 5.0] + [float("nan")] * 20) == (1, 11, 8)


def test_with_hardly_any_patients_nobody_is_held_back() -> None:
    assert walk([9.0] * 20, n=4) == (1, 11, 4)
    with pytest.raises(TrainingError, match="no training patients"):
        walk([9.0] * 20, n=0)


def test_inputs_and_targets_must_be_the_same_patients() -> None:
    with pytest.raises(ValueError, match="2 inputs, 3 targets"):
        Patients(np.zeros((2, 1)), np.zeros(3))


def test_patients_stay_out_of_logs() -> None:
    assert "777" not in repr(Patients(np.full((1, 1), 777.0), np.full(1, 777.0)))


def test_outputs_that_are_not_finite_are_counted_and_never_scored() -> None:
    task = Toy()
    data, broken = task.load(DataSource("site")), np.full(task.parameters(), np.nan, np.float32)
    assert task.evaluate(broken, data) == {NOT_FINITE: 20.0, "n-test": 20.0}
    assert task.interval(broken, data, resamples=10) is None
    assert "accuracy" in Toy().evaluate(task.initial(0), data)


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [([[1.0, 2.0], [np.nan, 0.0], [np.inf, 1.0]], 2), ([1, 2, 3], 0), ([True, False], 0), ([], 0)],
)
def test_patients_without_a_finite_output_are_counted(outputs: list[object], wanted: int) -> None:
    assert not_finite(np.array(outputs)) == wanted
