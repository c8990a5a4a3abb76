"""How good outputs are: numpy in, a float out, None where a metric is not defined for these patients.

Knows:    every array is (n,), a row a patient. A task leaves an undefined metric out of what it measures: `defined`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
PROBABILITY_MIN = 1e-15  # log loss of a probability that is 0 or 1 is finite, and large


def defined(values: Mapping[str, float | None]) -> dict[str, float]:
    """What `Task.measure` returns: the values that there are."""
    return {name: value for name, value in values.items() if value is not None}


def accuracy(predicted: Column, actual: Column) -> float | None:
    """The share of labels that are right."""
    return float((predicted == actual).mean()) if len(actual) else None


def auc(scores: Column, positive: Column) -> tuple[float | None, int]:
    """(area under the ROC curve, pairs of a positive and a negative); `positive` (n,) bool. Equal scores count half.

    Source: Hanley and McNeil 1982 (Radiology 143:29-36): the share of pairs that are in the right order.
    """
    yes, no = scores[positive], np.sort(scores[~positive])
    pairs = len(yes) * len(no)
    if not pairs:
        return None, 0
    below, up_to = np.searchsorted(no, yes, side="left"), np.searchsorted(no, yes, side="right")
    return float((below.sum() + up_to.sum()) / (2 * pairs)), pairs


def c_index(risk: Column, time: Column, event: Column) -> tuple[float | None, int]:
    """(C-index, comparable pairs). A pair counts where the one who lived shorter died; equal risks count half.

    A patient censored on the day another died lived longer. Source: Harrell 1982 (JAMA 247:2543-2546).
    """
    died = event[:, None] > 0
    shorter = died & ((time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & (event[None, :] == 0)))
    pairs = int(shorter.sum())
    if not pairs:
        return None, 0
    above = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return float((above * shorter).sum() / pairs), pairs


def log_loss(probability: Column, positive: Column) -> float | None:
    """Mean negative log-likelihood of what happened, natural logarithm."""
    if not len(positive):
        return None
    happened = np.where(positive, probability, 1 - probability.astype(np.float64))
    return float(-np.log(np.clip(happened, PROBABILITY_MIN, 1)).mean())


def brier(probability: Column, positive: Column) -> float | None:
    """Mean squared difference of probability and outcome. Source: Brier 1950 (Monthly Weather Review 78:1-3)."""
    return float(((probability - positive.astype(np.float64)) ** 2).mean()) if len(positive) else None


def mae(predicted: Column, actual: Column) -> float | None:
    """Mean absolute error, in the unit of `actual`."""
    return float(np.abs(predicted - actual).mean()) if len(actual) else None


def rmse(predicted: Column, actual: Column) -> float | None:
    """Root of the mean squared error, in the unit of `actual`."""
    return float(np.sqrt(((predicted - actual) ** 2).mean())) if len(actual) else None


def r2(predicted: Column, actual: Column) -> float | None:
    """Share of the variance that is explained; not defined where all of `actual` are alike."""
    if not len(actual) or np.ptp(actual) == 0:
        return None
    spread = float(((actual - actual.mean()) ** 2).sum())
    return 1 - float(((actual - predicted) ** 2).sum()) / spread
