"""Learning as a count: site k adds one step to every parameter whose index leaves k, and nothing else; no torch.

So a model tells how much of each site's work it holds, and what that must be follows from the Requests alone by
`Tally`: a second derivation that shares no code with the server step or its recomputation.
"""

import time
from collections.abc import Iterable

import numpy as np

from learning.contract import Column, DataContract
from learning.task import (
    Cancelled,
    DataSource,
    Patients,
    Progress,
    SiteData,
    Task,
    TrainingCancelledError,
    TrainingSettings,
    Vector,
)

SITES_MAX = 16
PARAMETERS = 300_000  # three chunks
STEP = 2.0**-8  # exact in fixed point; a whole update has length 0.53, below the plan's clip
BETA, RATE = 0.5, 0.5  # of the plan's server step, momentum
_LOOK_S = 0.02


def site_name(number: int) -> str:
    return f"site-{number:02d}"


def number_of(site: str) -> int:
    return int(site.rpartition("-")[2])


class TallyTask(Task):
    metric, higher_is_better = "sum", True
    contract = DataContract((Column("made"),))  # no table is read: everything is made here

    def parameters(self) -> int:
        return PARAMETERS

    def initial(self, seed: int) -> Vector:
        return np.zeros(PARAMETERS, np.float32)

    def load(self, source: DataSource) -> SiteData:
        nobody, tested = Patients(np.zeros((0, 1)), np.zeros(0)), Patients(np.zeros((4, 1)), np.zeros(4))
        train_s = float(source.options["train-ms"]) / 1000
        return SiteData(source.site, nobody, tested, bytes_data=0, extra={"train_s": np.array(train_s)})

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
        seconds = float(data.extra["train_s"]) * (0.5 + float(np.random.default_rng(seed).random()))
        began_s = time.monotonic()
        while (spent_s := time.monotonic() - began_s) < seconds:
            if cancelled():
                raise TrainingCancelledError(f"cancelled after {spent_s:.1f} s")
            progress(spent_s / seconds)
            time.sleep(_LOOK_S)
        update = np.zeros(PARAMETERS, np.float32)
        update[number_of(data.site) :: SITES_MAX] = STEP
        return update

    def predict(self, vector: Vector, patients: Patients) -> Vector:
        return np.full(len(patients), float(vector[:SITES_MAX].sum()), np.float32)

    def measure(self, outputs: Vector, targets: Vector) -> dict[str, float]:
        return {"sum": float(outputs.mean())}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        return 0.0


task = TallyTask()


class Tally:
    """What each version's parameters must be, from what its Request counted; float64 (SITES_MAX,)."""

    def __init__(self) -> None:
        self._momentum = np.zeros(SITES_MAX)
        self._model = np.zeros(SITES_MAX)

    def count(self, cohort: Iterable[tuple[str, int]]) -> None:
        """Take the next version's cohort: (site, weight in 16ths) of each update in it."""
        entries = list(cohort)
        change = np.zeros(SITES_MAX)
        for site, weight in entries:
            change[number_of(site)] += STEP * weight / (16 * len(entries))
        self._momentum = BETA * self._momentum + change
        self._model = self._model + RATE * self._momentum

    def furthest(self, model: Vector) -> float:
        """How far the furthest parameter of a model, float32 (PARAMETERS,), lies from where it must be."""
        wanted = np.resize(self._model, PARAMETERS)
        return float(np.abs(model - wanted).max())
