"""Small tasks and settings the learning tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract
from learning.task import DataSource, Patients, SiteData, TrainingSettings
from learning.torch_task import Batch, TorchTask


def patients(n: int, *, seed: int = 0) -> Patients:
    """n patients with three inputs and a class that follows from the first two."""
    inputs = np.random.default_rng(seed).normal(size=(n, 3))
    return Patients(inputs, (inputs[:, 0] + inputs[:, 1] > 0).astype(np.int64))


class Toy(TorchTask):
    metric = "accuracy"
    higher_is_better = True
    contract = DataContract((Column("x"),))

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"accuracy": float((outputs.argmax(axis=1) == targets).mean())}

    def load(self, source: DataSource) -> SiteData:
        return SiteData(source.site, patients(40), patients(20, seed=1), 480)


class Normed(Toy):
    """With BatchNorm (float and integer buffers) and dropout."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))


class Averaged(Toy):
    """BatchNorm whose running statistics are a mean over all batches so far: its integer counter matters."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 2))


class Projected(Toy):
    """With a random buffer that is not saved, and a counter of its own that is not either."""

    def model(self) -> nn.Module:
        return _Projection()


class _Projection(nn.Module):
    drawn: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("drawn", torch.randn(3, 4), persistent=False)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.add_(1)
        return torch.as_tensor(self.layer(inputs @ self.drawn) / self.seen)


def quiet(share: float) -> None:
    """Progress that nobody watches."""


def train(
    task: Toy, training: TrainingSettings, *, n: int = 40, seed: int = 0, base: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The update of a fresh round on n patients."""
    data = SiteData("site", patients(n), patients(20, seed=1), 0)
    start = task.initial(1) if base is None else base
    return task.train(start, data, training, seed=seed, progress=quiet, cancelled=lambda: False)
