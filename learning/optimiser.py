"""SGD and Adam on one flat tensor: a few vector operations per step.

Knows:    the update rules of torch.optim's SGD (momentum without dampening) and Adam (weight decay added to the
          gradient, defaults 0.9, 0.999, 1e-8), to which a test compares them.
Why here: importing torch.optim loads torch's compiler: seconds and 600 MB for each trainer, for these few lines.
Source:   Kingma and Ba, arXiv 1412.6980, algorithm 1; FedProx's proximal term, arXiv 1812.06127, equation 2.
Imports:  torch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learning.task import TrainingSettings

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Optimiser:
    """Fresh state over `values` (float32, changed in place) and their `gradients`; `base` is where this round began."""

    def __init__(self, values: Tensor, gradients: Tensor, training: TrainingSettings) -> None:
        self._values, self._gradients, self._training = values, gradients, training
        self._base = values.clone() if training.proximal else None
        self._steps = 0
        self._momentum = torch.zeros_like(values) if training.momentum or training.optimiser == "adam" else None
        self._squares = torch.zeros_like(values) if training.optimiser == "adam" else None

    def step(self) -> None:
        """One step along the gradients as they are now."""
        gradient, training = self._gradients, self._training
        if training.weight_decay:
            gradient = gradient.add(self._values, alpha=training.weight_decay)
        if self._base is not None:
            gradient = gradient.add(self._values - self._base, alpha=training.proximal)
        self._steps += 1
        if self._momentum is None:
            self._values.add_(gradient, alpha=-training.learning_rate)
        elif self._squares is None:
            self._momentum.mul_(training.momentum).add_(gradient)
            self._values.add_(self._momentum, alpha=-training.learning_rate)
        else:
            self._adam(gradient, self._momentum, self._squares)

    def _adam(self, gradient: Tensor, mean: Tensor, squares: Tensor) -> None:
        mean.lerp_(gradient, 1 - BETA_1)
        squares.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        spread = squares.sqrt().div_((1 - BETA_2**self._steps) ** 0.5).add_(EPSILON)
        self._values.addcdiv_(mean, spread, value=-self._training.learning_rate / (1 - BETA_1**self._steps))
