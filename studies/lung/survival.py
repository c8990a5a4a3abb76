"""Survival: Cox's partial likelihood in torch, Harrell's C-index in numpy.

Source: Cox 1972 (J R Stat Soc B 34:187-220), ties after Breslow 1974 (Biometrics 30:89-99); Harrell 1982 (JAMA
        247:2543-2546).
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def cox_loss(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Negative log partial likelihood per event; 0 where nobody died. risk, time, event (n,); event 1: died."""
    order = torch.argsort(time, descending=True, stable=True)
    risk, time, event = risk[order], time[order], event[order]
    at_risk = torch.logcumsumexp(risk, dim=0)
    last = torch.searchsorted(-time, -time, right=True) - 1  # patients with the same time are at risk together
    return -((risk - at_risk[last]) * event).sum() / event.sum().clamp(min=1)


def concordance(risk: NDArray[Any], time: NDArray[Any], event: NDArray[Any]) -> tuple[float | None, int]:
    """(C-index, comparable pairs). A pair counts where the one who lived shorter died; equal risks count half.

    A patient censored on the day another died lived longer. The C-index is None where no pair is comparable.
    """
    died = event[:, None] > 0
    shorter = died & ((time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & (event[None, :] == 0)))
    pairs = int(shorter.sum())
    if not pairs:
        return None, 0
    above = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return float((above * shorter).sum() / pairs), pairs
