"""A task whose model is a torch module: the author gives model, loss and metrics, this gives the rest.

Knows:    batches, training, early stopping, prediction; one thread, the same result for the same seed.
Never:    imports torch.optim (slow, large: see learning.optimiser), keeps optimiser state between rounds.
Imports:  torch, numpy, learning.   Used by: studies.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.optimiser import Optimiser
from learning.task import (
    Cancelled,
    Patients,
    Progress,
    SiteData,
    Task,
    TrainingCancelledError,
    TrainingError,
    TrainingSettings,
    Vector,
    train_until_no_better,
)
from learning.vector import FlatModel, difference

REPORTS = 20  # times progress is told in one training, at most


class Batch(NamedTuple):
    """Some patients as tensors: floating arrays as float32, whole numbers as int64."""

    inputs: Tensor
    targets: Tensor


class TorchTask(Task):
    """Write `model`, `loss`, `measure` and `load`; see studies/README.md."""

    @abstractmethod
    def model(self) -> nn.Module:
        """A new model with random weights (seeded by the caller), float32 on the CPU."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The scalar to minimise, a mean over the batch."""

    def parameters(self) -> int:
        return len(self._flat.values)

    def initial(self, seed: int) -> Vector:
        with torch.random.fork_rng(devices=[]):
            _seed(seed)
            return FlatModel(self.model()).read()

    def train(
        self,
        base: Vector,
        data: SiteData,
        training: TrainingSettings,
        *,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Vector:
        if not len(data.train):
            raise TrainingError(f"{data.site} has no training patients")
        flat = self._flat
        flat.write(base)
        run = _Run(self, flat, training, seed=seed, cancelled=cancelled)
        run.train(_batch(data.train), progress)
        return difference(flat.read(), base)

    def predict(self, vector: Vector, patients: Patients) -> NDArray[Any]:
        self._flat.write(vector)
        model = self._flat.model.eval()
        with torch.no_grad():
            return np.asarray(model(_batch(patients).inputs).numpy())

    def state(self, vector: Vector) -> dict[str, NDArray[Any]]:
        """As torch's `state_dict` names it: `model().load_state_dict` takes it."""
        self._flat.write(vector)
        return self._flat.state()

    def vector_of(self, state: Mapping[str, NDArray[Any]]) -> Vector:
        return self._flat.vector_of(state)

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        self._flat.write(vector)
        model = self._flat.model.eval()
        with torch.no_grad():
            return float(self.loss(model, _batch(patients)))

    def alone(
        self,
        data: SiteData,
        training: TrainingSettings,
        *,
        seed: int,
        progress: Progress,
        cancelled: Cancelled = lambda: False,
    ) -> Vector:
        """As the base class says; the optimiser keeps its state from epoch to epoch, as in central learning."""
        one = replace(training, epochs=1, steps=0, proximal=0.0, time_limit_s=0.0)
        start = self.initial(seed)
        self._flat.write(start)
        run = _Run(self, self._flat, one, seed=seed, cancelled=cancelled)

        def epoch(vector: Vector, patients: Patients) -> Vector:
            self._flat.write(vector)
            run.train(_batch(patients), lambda _: None)
            return self._flat.read()

        return train_until_no_better(start, epoch, self.loss_on, data.train, seed=seed, progress=progress)

    @cached_property
    def _flat(self) -> FlatModel:
        torch.set_num_threads(1)  # many participants may share a machine, and one order of addition gives one result
        with torch.random.fork_rng(devices=[]):
            return FlatModel(self.model())


class _Run:
    """One training: fresh optimiser state, a generator of its own for the order of patients."""

    def __init__(
        self, task: TorchTask, flat: FlatModel, training: TrainingSettings, *, seed: int, cancelled: Cancelled
    ) -> None:
        self._task, self._flat, self._training, self._cancelled = task, flat, training, cancelled
        self._order = torch.Generator().manual_seed(seed)
        self._optimiser = Optimiser(flat.values[: flat.trained], flat.gradients, training)

    def train(self, patients: Batch, progress: Progress) -> None:
        """Epochs or steps as the settings say; the model is left where the last step took it."""
        training, sizes = self._training, batch_sizes(len(patients.targets), self._training.batch)
        steps = training.steps or training.epochs * len(sizes)
        ends_s = time.monotonic() + training.time_limit_s if training.time_limit_s else float("inf")
        self._flat.model.train()
        with torch.random.fork_rng(devices=[]):  # dropout and the like follow the seed too
            _seed(int(torch.randint(2**62, (), generator=self._order)))
            for step, batch in zip(range(steps), self._batches(patients, sizes), strict=False):
                if self._cancelled():
                    raise TrainingCancelledError(f"cancelled after {step} of {steps} steps")
                self._step(batch, where=f"epoch {step // len(sizes) + 1}, step {step % len(sizes) + 1}")
                if (step + 1) * REPORTS // steps > step * REPORTS // steps:
                    progress((step + 1) / steps)
                if time.monotonic() >= ends_s:
                    break
        if not bool(torch.isfinite(self._flat.values).all()):
            raise TrainingError("training ended with parameters that are not finite")

    def _step(self, batch: Batch, *, where: str) -> None:
        self._flat.gradients.zero_()
        loss = self._task.loss(self._flat.model, batch)
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"the loss is not finite in {where}")
        torch.autograd.backward(loss)
        self._optimiser.step()

    def _batches(self, patients: Batch, sizes: list[int]) -> Iterator[Batch]:
        """Batches for ever, in a new order each epoch; a full batch keeps the patients' order."""
        while True:
            if len(sizes) == 1:
                yield patients
                continue
            order = torch.randperm(len(patients.targets), generator=self._order)
            for rows in torch.split(order, sizes):
                yield Batch(patients.inputs[rows], patients.targets[rows])


def batch_sizes(patients: int, batch: int) -> list[int]:
    """Sizes of one epoch's batches. A last single patient joins the batch before: BatchNorm cannot train on one."""
    if not batch or patients <= batch:
        return [patients]
    sizes = [batch] * (patients // batch) + ([patients % batch] if patients % batch else [])
    if sizes[-1] == 1:
        sizes[-2:] = [sizes[-2] + 1]
    return sizes


def _seed(seed: int) -> None:
    """Seed the CPU's generator, all that a model draws from. torch.manual_seed tells every other kind of device too and
    has each that does not run keep a stack trace: more than half the time of a small model's training.
    """
    torch.default_generator.manual_seed(seed)


def _batch(patients: Patients) -> Batch:
    return Batch(_tensor(patients.inputs), _tensor(patients.targets))


def _tensor(array: NDArray[Any]) -> Tensor:
    """A copy: float32 for floating arrays, int64 for whole numbers and truth values."""
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
