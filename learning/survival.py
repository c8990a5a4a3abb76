"""Survival: Cox's partial likelihood, in torch.

Source: Cox 1972 (J R Stat Soc B 34:187-220), ties after Breslow 1974 (Biometrics 30:89-99).
"""

from __future__ import annotations

import torch
from torch import Tensor


def cox_loss(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Negative log partial likelihood per event; 0 where nobody died. risk, time, event (n,); event 1: died."""
    order = torch.argsort(time, descending=True, stable=True)
    risk, time, event = risk[order], time[order], event[order]
    at_risk = torch.logcumsumexp(risk, dim=0)
    last = torch.searchsorted(-time, -time, right=True) - 1  # patients with the same time are at risk together
    return -((risk - at_risk[last]) * event).sum() / event.sum().clamp(min=1)
