"""Metrics are those of scikit-learn and lifelines, and say where they are not defined."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines.utils import concordance_index
from sklearn import metrics as known

from learning import metrics

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=200).round(1)  # rounded: some are equal
ILL = RNG.random(200) < 0.3
RISK = 1 / (1 + np.exp(-SCORES))
REAL = RNG.normal(size=200)
NOBODY = np.zeros(0)


def test_metrics_of_a_binary_outcome_are_those_of_scikit_learn() -> None:
    found, pairs = metrics.auc(SCORES, ILL)
    assert found == pytest.approx(known.roc_auc_score(ILL, SCORES))
    assert pairs == ILL.sum() * (~ILL).sum()
    assert metrics.log_loss(RISK, ILL) == pytest.approx(known.log_loss(ILL, RISK))
    assert metrics.brier(RISK, ILL) == pytest.approx(known.brier_score_loss(ILL, RISK))
    assert metrics.accuracy(SCORES > 0, ILL) == pytest.approx(known.accuracy_score(ILL, SCORES > 0))


def test_metrics_of_a_number_are_those_of_scikit_learn() -> None:
    assert metrics.mae(SCORES, REAL) == pytest.approx(known.mean_absolute_error(REAL, SCORES))
    assert metrics.rmse(SCORES, REAL) == pytest.approx(known.mean_squared_error(REAL, SCORES) ** 0.5)
    assert metrics.r2(SCORES, REAL) == pytest.approx(known.r2_score(REAL, SCORES))


def test_the_c_index_is_that_of_lifelines_with_equal_times_and_equal_risks() -> None:
    time = RNG.integers(1, 30, 200)
    found, pairs = metrics.c_index(SCORES, time, ILL)
    assert found == pytest.approx(concordance_index(time, -SCORES, ILL))
    assert pairs > 0


def test_where_a_metric_is_not_defined_it_is_left_out() -> None:
    values = {
        "auc": metrics.auc(SCORES, np.ones(200, bool))[0],
        "c-index": metrics.c_index(SCORES, REAL, np.zeros(200))[0],
        "r2": metrics.r2(SCORES, np.ones(200)),
        "log-loss": metrics.log_loss(NOBODY, NOBODY),
        "brier": metrics.brier(NOBODY, NOBODY),
        "accuracy": metrics.accuracy(NOBODY, NOBODY),
        "mae": metrics.mae(NOBODY, NOBODY),
        "rmse": metrics.rmse(NOBODY, NOBODY),
    }
    assert metrics.defined({**values, "n": 3.0}) == {"n": 3.0}


def test_a_probability_that_is_certain_and_wrong_costs_much_and_no_infinity() -> None:
    found = metrics.log_loss(np.array([0.0]), np.array([True]))
    assert found is not None
    assert 30 < found < 40
