"""What a study learns: model, loss, metrics and data of one study behind one small interface, without torch.

Knows:    how a site's patients are loaded and split, what an update is, how a version is judged.
Never:    sends anything, reads the network, or puts a patient's value into a message.
Imports:  numpy, schemas.errors, learning.contract.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from learning.contract import DataContract, Table
from learning.marks import NOT_FINITE as NOT_FINITE
from learning.pieces import Cancelled as Cancelled
from learning.pieces import Pieces, finish, part
from learning.pieces import Progress as Progress
from learning.pieces import TrainingCancelledError as TrainingCancelledError  # tasks import these from here
from learning.source import DataSource as DataSource
from schemas.errors import FederationError as FederationError  # studies import both from here
from schemas.errors import LocalError as LocalError

Vector = NDArray[np.float32]  # (p,): every parameter of the model, flat

EPOCHS_ALONE_MAX = 100
PATIENCE_ALONE = 10
VALIDATION_SHARE = 0.2
INTERVAL_MIN = 5  # test patients: resamples of fewer are too much alike
STATE_WITHOUT_NAMES = "parameters"  # the one tensor of a task that names none
PREDICTED_BYTES = 1 << 20  # of inputs as float32 that a model sees at once: its activations are many times as large
PREDICTED_MAX = 1024  # patients, where one has few inputs


class TrainingError(FederationError):
    """Training gave no usable update, e.g. its loss became NaN. The service reports it and goes on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a site trains in one round; the plan's [training] section. Optimiser state is fresh each round.

    epochs, steps  exactly one is positive: passes over the training patients, or batches
    batch          patients in a batch; 0: all of them
    proximal       mu of FedProx (arXiv 1812.06127, eq. 2): mu/2 * |w - base|^2 is added to the loss
    time_limit_s   training ends after the first step past it, and what was reached is the update; 0: no limit
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 1
    steps: int = 0
    batch: int = 32
    proximal: float = 0.0
    time_limit_s: float = 0.0

    def __post_init__(self) -> None:
        if self.optimiser not in ("sgd", "adam"):
            raise LocalError(f"training.optimiser is {self.optimiser!r}", hint="sgd or adam")
        if (self.epochs > 0) == (self.steps > 0) or min(self.epochs, self.steps) < 0:
            raise LocalError("training needs either epochs or steps", hint="set one of them, leave the other at 0")
        if not 0 < self.learning_rate < float("inf"):
            raise LocalError("training.learning_rate must be positive")
        for name in ("weight_decay", "batch", "proximal", "time_limit_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise LocalError(f"training.{name} must not be negative")
        if not 0 <= self.momentum < 1 or (self.momentum and self.optimiser == "adam"):
            raise LocalError("training.momentum must lie in 0..1 and belongs to sgd")


@dataclass(frozen=True, slots=True)
class Patients:
    """Some patients: row i of `inputs` and of `targets` is the same one. Arrays stay out of `repr`.

    inputs (n, ...), targets (n, ...)   of the dtype the task wants
    """

    inputs: NDArray[Any] = field(repr=False)
    targets: NDArray[Any] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"{len(self.inputs)} inputs, {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[Any]) -> Patients:
        """The rows named by indices (repeats allowed) or by a mask."""
        return Patients(self.inputs[rows], self.targets[rows])

    def batches(self) -> Iterator[Patients]:
        """In order, as few at a time as keep a model's memory bounded, one batch at least; views, not copies."""
        row_bytes = 4 * max(1, math.prod(self.inputs.shape[1:]))
        size = min(PREDICTED_MAX, max(1, PREDICTED_BYTES // row_bytes))
        for start in range(0, max(1, len(self)), size):
            yield Patients(self.inputs[start : start + size], self.targets[start : start + size])

    @staticmethod
    def together(parts: Sequence[Patients]) -> Patients:
        """All patients of `parts`, in order."""
        return Patients(
            np.concatenate([part.inputs for part in parts]), np.concatenate([part.targets for part in parts])
        )


@dataclass(frozen=True, slots=True)
class SiteData:
    """A site's patients as the task sees them. `bytes_data` is the size of the raw data: what central learning moves.

    extra   what the task needs besides, by name (heart: the scaling of its training patients)
    """

    site: str
    train: Patients
    test: Patients
    bytes_data: int
    extra: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)


class Task(ABC):
    """One study's learning; one instance per process. Numpy alone is enough to write one, see also TorchTask."""

    metric: ClassVar[str]  # id of the primary metric, [a-z0-9-]{1,40}, a key of what `measure` returns
    higher_is_better: ClassVar[bool]
    weight: ClassVar[str] = "n-test"  # id of the metric that weighs sites in an overall figure
    contract: ClassVar[DataContract]

    @abstractmethod
    def parameters(self) -> int:
        """p, the number of parameters."""

    @abstractmethod
    def initial(self, seed: int) -> Vector:
        """Version 0, float32 (p,), the same for the same seed."""

    @abstractmethod
    def load(self, source: DataSource) -> SiteData:
        """Read, check against the contract and split a site's patients. Raises LocalError, never with a value."""

    def inputs(self, table: Table) -> NDArray[Any]:
        """What the model takes of each row of a table, (rows, ...): the preprocessing, written once.

        table   the contract's columns as `DataSource.table` gives them: float64 (rows,) with NaN where a value is
                missing, categories as codes, text as str. Label columns are absent: patients to predict have none.
                rows may be 0, and a long table may come in pieces, so each row has to be treated by itself

        `load` calls it for training and test patients, `wardround predict` for patients without an outcome. A task that
        does not write it learns all the same, and cannot predict from a table. Raises LocalError, never with a value.
        """
        raise LocalError(
            f"the task {type(self).__name__} does not say how a table becomes inputs",
            hint="write `def inputs(self, table)` in the task and use it in `load`, see studies/README.md",
        )

    @abstractmethod
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
        """Train from `base` on data.train; return new minus base, float32 (p,), subtracted in float64, rounded once.

        Raises TrainingError naming epoch and step when loss or parameters stop being finite; TrainingCancelledError.
        """

    @abstractmethod
    def predict(self, vector: Vector, patients: Patients) -> NDArray[Any]:
        """The model's output for each patient, (n, ...)."""

    @abstractmethod
    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """Metrics by id. One that is undefined for these patients (AUC of one class) is left out, never NaN."""

    @abstractmethod
    def loss_on(self, vector: Vector, patients: Patients) -> float:
        """The training loss of a vector on patients, without its proximal term: what `alone` watches."""

    def alone(
        self,
        data: SiteData,
        training: TrainingSettings,
        *,
        seed: int,
        progress: Progress,
        cancelled: Cancelled = lambda: False,
    ) -> Vector:
        """The model, float32 (p,), that these patients give without a federation: see `train_until_no_better`."""
        return finish(self.alone_pieces(data, training, seed=seed, cancelled=cancelled), progress, cancelled)

    def alone_pieces(
        self, data: SiteData, training: TrainingSettings, *, seed: int, cancelled: Cancelled
    ) -> Pieces[Vector]:
        """As `alone`, in pieces of an epoch; while `cancelled` says so, an epoch that was begun is put off."""
        settings = replace(training, epochs=1 if training.epochs else 0, proximal=0.0, time_limit_s=0.0)

        def epoch(vector: Vector, patients: Patients) -> Pieces[Vector]:
            only = replace(data, train=patients)
            while True:
                try:
                    step = self.train(vector, only, settings, seed=seed, progress=lambda _: None, cancelled=cancelled)
                except TrainingCancelledError:
                    yield 0.0
                    continue
                yield 1.0
                return np.asarray(vector + step, np.float32)

        return train_until_no_better(self.initial(seed), epoch, self.loss_on, data.train, seed=seed)

    def examples(self, data: SiteData) -> int:
        """n_k, the number of training patients: what plans weighted by examples use."""
        return len(data.train)

    def evaluate(self, vector: Vector, data: SiteData) -> dict[str, float]:
        """Metrics of a version on the site's own test patients, and their number as `n-test` (0: nothing else)."""
        return finish(self.measured_pieces(vector, data))

    def measured(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """`measure`, unless outputs are not finite: then how many patients have such, as `not-finite`, and no metric.

        The largest of several NaN is a class like any other to numpy, so that a metric would look well.
        """
        if unfit := not_finite(outputs):
            return {NOT_FINITE: float(unfit)}
        return self.measure(outputs, targets)

    def interval(
        self, vector: Vector, data: SiteData, *, seed: int = 0, resamples: int = 1000, level: float = 0.95
    ) -> tuple[float, float] | None:
        """Percentile bootstrap of the primary metric over test patients; None where it cannot give an interval."""
        if not len(data.test):
            return None
        outputs = finish(self.predict_pieces(vector, data.test))
        return finish(self._bootstrap(outputs, data.test.targets, seed=seed, resamples=resamples, level=level))

    def measured_pieces(
        self, vector: Vector, data: SiteData, *, seed: int = 0, resamples: int = 0
    ) -> Pieces[dict[str, float]]:
        """What `evaluate` tells, and with `resamples` the interval as `<metric>-low` and `<metric>-high`; in pieces."""
        if not len(data.test):
            return {"n-test": 0.0}
        outputs = yield from part(self.predict_pieces(vector, data.test), 0.0, 0.5)
        values = {name: float(value) for name, value in self.measured(outputs, data.test.targets).items()}
        values["n-test"] = float(len(data.test))
        if resamples:
            bootstrap = self._bootstrap(outputs, data.test.targets, seed=seed, resamples=resamples)
            if (bounds := (yield from part(bootstrap, 0.5, 1.0))) is not None:
                values[f"{self.metric}-low"], values[f"{self.metric}-high"] = bounds
        return values

    def predict_pieces(self, vector: Vector, patients: Patients) -> Pieces[NDArray[Any]]:
        """As `predict`, a batch a piece. `vector` must stay as it is meanwhile."""
        outputs: list[NDArray[Any]] = []
        for batch in patients.batches():
            outputs.append(self.predict(vector, batch))
            yield min(1.0, sum(map(len, outputs)) / max(1, len(patients)))
        return np.concatenate(outputs)

    def _bootstrap(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, seed: int, resamples: int, level: float = 0.95
    ) -> Pieces[tuple[float, float] | None]:
        """`interval` of outputs, a resample a piece.

        None too where it would say more than it can: of fewer patients than INTERVAL_MIN, or where every resample gives
        the same value, e.g. an AUC of 1 of two patients.
        """
        n, rng, values = len(targets), np.random.default_rng(seed), list[float]()
        for done in range(1, resamples + 1):
            rows = rng.integers(0, n, n)
            value = self.measured(outputs[rows], targets[rows]).get(self.metric)
            if value is not None and math.isfinite(value):
                values.append(value)
            yield done / resamples
        if n < INTERVAL_MIN or 2 * len(values) < resamples or min(values) == max(values):
            return None
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What the outputs say of each patient, a column each, (rows,): what `wardround predict` writes.

        outputs   what `predict` gives, (rows,) or (rows, ...)
        As it stands: `output`, or `output-1`, `output-2` … of several. Write it to tell a probability, a class, a risk.
        """
        flat = (
            outputs.reshape(len(outputs), -1) if len(outputs) else outputs.reshape(0, int(np.prod(outputs.shape[1:])))
        )
        names = ["output"] if flat.shape[1] == 1 else [f"output-{number + 1}" for number in range(flat.shape[1])]
        return {name: flat[:, place] for place, name in enumerate(names)}

    def state(self, vector: Vector) -> dict[str, NDArray[Any]]:
        """A vector as tensors by name, for a file that others can read; the inverse of `vector_of`."""
        return {STATE_WITHOUT_NAMES: np.array(vector, np.float32)}

    def vector_of(self, state: Mapping[str, NDArray[Any]]) -> Vector:
        """Tensors by name as a vector, float32 (p,). Raises LocalError when they are another model's."""
        found = state.get(STATE_WITHOUT_NAMES)
        if found is None or found.shape != (self.parameters(),) or found.dtype != np.float32:
            raise LocalError(
                f"the state holds no {STATE_WITHOUT_NAMES}, float32 ({self.parameters()},)",
                hint="state and task do not belong together: use the study folder that the model was learnt with",
            )
        return found

    def pool(self, sites: Sequence[SiteData]) -> SiteData:
        """All sites as if they were one: what central learning would have had. Only a demo or a script can ask this."""
        return SiteData(
            site="pooled",
            train=Patients.together([data.train for data in sites]),
            test=Patients.together([data.test for data in sites]),
            bytes_data=sum(data.bytes_data for data in sites),
        )

    def as_pooled(self, data: SiteData, pooled: SiteData) -> SiteData:
        """A site's patients as a model trained on `pooled` wants them: the same, unless a task scales by site."""
        return data


def not_finite(outputs: NDArray[Any]) -> int:
    """Patients with an output that is NaN or infinite, of (n, ...)."""
    array = np.asarray(outputs)
    if not array.size or array.dtype.kind not in "fc":
        return 0
    return int(np.count_nonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1)))


def hashed_share(*words: str) -> float:
    """A number in [0, 1) fixed for ever by a hash of `words`: who falls where, without counting or drawing."""
    return int.from_bytes(sha256("\0".join(words).encode()).digest()[:6], "big") / 2**48


def is_test(study: str, split: str, patient: str, *, share: float) -> bool:
    """Whether a patient is for testing, by a hash of (study, split, patient); `split` salts another random split."""
    return hashed_share("test", study, split, patient) < share


def split_patients(patients: Patients, test: NDArray[np.bool_]) -> tuple[Patients, Patients]:
    """(train, test) by a mask."""
    return patients.take(~test), patients.take(test)


def train_until_no_better(
    start: Vector,
    epoch: Callable[[Vector, Patients], Pieces[Vector]],
    loss: Callable[[Vector, Patients], float],
    train: Patients,
    *,
    seed: int,
) -> Pieces[Vector]:
    """Train epoch by epoch until a validation part carved from `train` has not improved for ten, at most a hundred.

    epoch   one pass over the patients given, in pieces: vector in, vector out (it may keep optimiser state)
    loss    of a vector on the validation part
    Returns the vector with the least validation loss after one epoch or more: an untrained model is no baseline. With
    fewer than five patients there is no validation part and the training loss decides.
    """
    if not len(train):
        raise TrainingError("there are no training patients")
    order = np.random.default_rng(seed).permutation(len(train))
    held = max(1, round(VALIDATION_SHARE * len(train))) if len(train) >= 5 else 0
    validation, rest = (train.take(order[:held]), train.take(order[held:])) if held else (train, train)
    best, best_loss, best_epoch, current = start, math.inf, 0, start
    for number in range(1, EPOCHS_ALONE_MAX + 1):
        shares = ((number - 1) / EPOCHS_ALONE_MAX, number / EPOCHS_ALONE_MAX)
        current = yield from part(epoch(current, rest), *shares)
        now = loss(current, validation)
        if now < best_loss:
            best, best_loss, best_epoch = current, now, number
        elif number - best_epoch >= PATIENCE_ALONE:
            break
    yield 1.0
    return best
