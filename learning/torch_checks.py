"""What a task's model and loss have to give back, said to their author where they give something else.

Imports:  torch, learning.task, schemas.errors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from learning.task import TrainingError
from schemas.errors import LocalError


def one_output(found: Any, patients: int) -> Tensor:
    """The model's output for a batch. Raises LocalError unless it is one tensor with a row for each patient."""
    if not isinstance(found, Tensor):
        raise LocalError(
            f"the task's model gives a {type(found).__name__} for a batch of patients; it has to give one tensor",
            hint="return one tensor from forward(), or override predict() and take the one that measure() wants",
        )
    if not found.ndim or len(found) != patients:
        raise LocalError(
            f"the task's model gives an output of shape {tuple(found.shape)} for {patients} patients",
            hint="the first axis counts the patients: one row for each",
        )
    return found


def one_loss(found: Any, *, where: str) -> Tensor:
    """The loss of a batch, a tensor without axes.

    Raises LocalError unless it is one real number, TrainingError where it is not finite or nothing can be learnt.
    """
    if not isinstance(found, Tensor):
        raise LocalError(
            f"the task's loss is a {type(found).__name__}; it has to be a tensor of one number",
            hint="compute it from model(batch.inputs) with torch, without .item() or float()",
        )
    if found.numel() != 1 or not found.dtype.is_floating_point:
        raise LocalError(
            f"the task's loss has shape {tuple(found.shape)} and type {found.dtype}; it has to be one number",
            hint="end it with .mean(), a mean over the batch",
        )
    if not bool(torch.isfinite(found)):
        raise TrainingError(f"the loss is not finite in {where}")
    if not found.requires_grad:
        raise TrainingError(
            f"the loss has no gradient in {where}: for these patients it does not depend on the model (no event, no "
            "pair?), or it was cut off from it by .item(), .detach() or numpy; where there is nothing to learn, return "
            "a loss that depends on the model all the same: 0.0 * model(batch.inputs).sum()"
        )
    return found.reshape(())
