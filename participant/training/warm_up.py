"""One throw-away training step, so that what torch loads on its first one is shared by all forked trainers.

Imports: torch.
"""

import torch
from torch import nn


def one_step() -> None:
    """Forward, backward and a change of the parameters on eight invented rows; leaves no thread behind."""
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    loss = nn.functional.cross_entropy(model(torch.zeros(8, 4)), torch.zeros(8, dtype=torch.int64))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)
