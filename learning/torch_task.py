"""A task whose model is a torch module: the author gives model, loss and metrics, this gives the rest.

Knows:    batches, training, early stopping, prediction; one thread, the same result for the same seed.
Never:    imports torch.optim (slow, large: see learning.optimiser), keeps optimiser state between rounds.
Imports:  torch, numpy, learning.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.optimiser import Optimiser
from learning.pieces import Cancelled, Pieces, Progress, TrainingCancelledError, finish
from learning.task import (
    Patients,
    SiteData,
    Task,
    TrainingError,
    TrainingSettings,
    Vector,
    train_until_no_better,
)
from learning.torch_checks import one_loss, one_output
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
        self._write(base)
        _Run(self, flat, training, seed=seed).train(_batch(data.train), progress, cancelled)
        return difference(flat.read(), base)

    def predict(self, vector: Vector, patients: Patients) -> NDArray[Any]:
        return finish(self.predict_pieces(vector, patients))

    def predict_pieces(self, vector: Vector, patients: Patients) -> Pieces[NDArray[Any]]:
        written, outputs, done = -1, list[NDArray[Any]](), 0
        for batch in patients.batches():
            if written != self._writes:  # put aside meanwhile, and the model was used for something else
                written = self._write(vector)
            model = self._flat.model.eval()
            with torch.no_grad():
                outputs.append(np.asarray(one_output(model(_batch(batch).inputs), len(batch)).numpy()))
            done += len(batch)
            yield min(1.0, done / max(1, len(patients)))
        return np.concatenate(outputs)

    def state(self, vector: Vector) -> dict[str, NDArray[Any]]:
        """As torch's `state_dict` names it: `model().load_state_dict` takes it."""
        self._write(vector)
        return self._flat.state(vector)

    def vector_of(self, state: Mapping[str, NDArray[Any]]) -> Vector:
        return self._flat.vector_of(state)

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        self._write(vector)
        return _loss(self, self._flat.model, patients, batch=0)

    def alone_pieces(
        self, data: SiteData, training: TrainingSettings, *, seed: int, cancelled: Cancelled
    ) -> Pieces[Vector]:
        """As the base class says, in pieces of a step, on a model of its own: nothing that is trained or measured
        meanwhile meets it. The optimiser keeps its state from epoch to epoch, as in central learning; the validation
        loss is the mean over batches of the plan's size, which need no more memory than training does.
        """
        one = replace(training, epochs=1, steps=0, proximal=0.0, time_limit_s=0.0)
        flat = self._new(seed)
        run = _Run(self, flat, one, seed=seed)

        def epoch(_: Vector, patients: Patients) -> Pieces[Vector]:
            for done, steps in run.pieces(_batch(patients)):
                yield done / steps
            return flat.read()

        def loss(_: Vector, patients: Patients) -> float:
            return _loss(self, flat.model, patients, batch=training.batch)

        return _drawing_its_own(train_until_no_better(flat.read(), epoch, loss, data.train, seed=seed))

    def _write(self, vector: Vector) -> int:
        """Set the model that all but the baseline share; returns a number that changes with each such use of it."""
        self._flat.write(vector)
        self._writes += 1
        return self._writes

    _writes = 0

    def _new(self, seed: int) -> FlatModel:
        """A new model with the start values of `seed`."""
        flat = self._fresh()
        flat.write(self.initial(seed))
        return flat

    @cached_property
    def _flat(self) -> FlatModel:
        return self._fresh()

    def _fresh(self) -> FlatModel:
        """A model into which a vector can be written."""
        torch.set_num_threads(1)  # many participants may share a machine, and one order of addition gives one result
        with torch.random.fork_rng(devices=[]):
            _seed(0)  # what a model draws and does not save is the same everywhere, too
            return FlatModel(self.model())


class _Run:
    """One training: fresh optimiser state, a generator of its own for the order of patients."""

    def __init__(self, task: TorchTask, flat: FlatModel, training: TrainingSettings, *, seed: int) -> None:
        self._task, self._flat, self._training = task, flat, training
        self._order = torch.Generator().manual_seed(seed)
        self._optimiser = Optimiser(flat.values[: flat.trained], flat.gradients, training)

    def train(self, patients: Batch, progress: Progress, cancelled: Cancelled) -> None:
        """All of `pieces`. Raises TrainingCancelledError; the model is not to be used then."""
        done = 0
        with closing(self.pieces(patients)) as pieces:
            while True:
                if cancelled():
                    raise TrainingCancelledError(f"cancelled after {done} of {self._steps(patients)} steps")
                if (taken := next(pieces, None)) is None:
                    return
                done, steps = taken
                if done * REPORTS // steps > (done - 1) * REPORTS // steps:
                    progress(done / steps)

    def pieces(self, patients: Batch) -> Generator[tuple[int, int], None, None]:
        """Epochs or steps as the settings say, yielding (steps done, of how many) after each step.

        The model is left where the last step took it. Raises TrainingError.
        """
        training, sizes = self._training, batch_sizes(len(patients.targets), self._training.batch)
        steps = self._steps(patients)
        ends_s = time.monotonic() + training.time_limit_s if training.time_limit_s else float("inf")
        self._flat.model.train()
        with torch.random.fork_rng(devices=[]):  # dropout and the like follow the seed too
            _seed(int(torch.randint(2**62, (), generator=self._order)))
            for step, batch in zip(range(steps), self._batches(patients, sizes), strict=False):
                self._step(batch, where=f"epoch {step // len(sizes) + 1}, step {step % len(sizes) + 1}")
                yield step + 1, steps
                if time.monotonic() >= ends_s:
                    break
        if not bool(torch.isfinite(self._flat.values).all()):
            raise TrainingError("training ended with parameters that are not finite")

    def _steps(self, patients: Batch) -> int:
        return self._training.steps or self._training.epochs * len(
            batch_sizes(len(patients.targets), self._training.batch)
        )

    def _step(self, batch: Batch, *, where: str) -> None:
        self._flat.gradients.zero_()
        torch.autograd.backward(one_loss(self._task.loss(self._flat.model, batch), where=where))
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


def _loss(task: TorchTask, model: nn.Module, patients: Patients, *, batch: int) -> float:
    """The mean loss of a model over its patients, in batches as training has them; 0: all at once."""
    model.eval()
    total, start = 0.0, 0
    with torch.no_grad():
        for size in batch_sizes(len(patients), batch):
            rows = Patients(patients.inputs[start : start + size], patients.targets[start : start + size])
            total, start = total + size * float(task.loss(model, _batch(rows))), start + size
    return total / max(1, len(patients))


def _drawing_its_own(pieces: Pieces[Vector]) -> Pieces[Vector]:
    """The pieces, each drawing its random numbers where the piece before has stopped, whoever drew some meanwhile."""
    draws = torch.default_generator
    inner = draws.get_state()
    try:
        while True:
            outer = draws.get_state()
            draws.set_state(inner)
            try:
                share = next(pieces)
            except StopIteration as end:
                result: Vector = end.value
                return result
            finally:
                inner = draws.get_state()
                draws.set_state(outer)
            yield share
    finally:
        outer = draws.get_state()
        pieces.close()  # it may draw, or put a state back, once more
        draws.set_state(outer)


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
