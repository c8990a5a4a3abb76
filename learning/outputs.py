"""What a model's raw outputs mean to a person: probabilities.

Imports:  numpy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def logistic(scores: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + exp(-scores)), of any shape, without an overflow: a log odds becomes a probability."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(scores, np.float64)))


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """exp(scores) over their sum along the last axis, (rows, classes): one probability a class."""
    raised = np.exp(np.asarray(scores, np.float64) - np.max(scores, axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float64)
