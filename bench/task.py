"""A task that learns nothing: its update is noise of a chosen size, other bytes for each site and round; no torch."""

import numpy as np

from learning.contract import Column, DataContract
from learning.task import Cancelled, DataSource, Patients, Progress, SiteData, Task, TrainingSettings, Vector

_PATTERN = 1 << 16
_NORM = 0.5  # of an update, below the plan's clip


class Noise(Task):
    """`parameters` float32; training writes a random pattern, scaled and shifted anew from one block to the next."""

    metric, higher_is_better = "loss", False
    contract = DataContract((Column("made"),))  # no table is read: everything is made here

    def __init__(self, parameters: int) -> None:
        self._parameters = parameters

    def parameters(self) -> int:
        return self._parameters

    def initial(self, seed: int) -> Vector:
        return np.zeros(self._parameters, np.float32)

    def load(self, source: DataSource) -> SiteData:
        nobody = Patients(np.zeros((0, 1)), np.zeros(0))
        return SiteData(source.site, nobody, nobody, bytes_data=0)

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
        rng = np.random.default_rng([seed, *data.site.encode()])
        pattern = rng.standard_normal(min(_PATTERN, self._parameters), dtype=np.float32)
        pattern *= np.float32(_NORM / np.sqrt(self._parameters))
        update = np.empty(self._parameters, np.float32)
        for start in range(0, self._parameters, _PATTERN):
            part = update[start : start + _PATTERN]
            np.multiply(pattern[: len(part)], rng.random(dtype=np.float32), out=part)
        progress(1.0)
        return update

    def predict(self, vector: Vector, patients: Patients) -> Vector:
        return np.zeros(len(patients), np.float32)

    def measure(self, outputs: Vector, targets: Vector) -> dict[str, float]:
        return {}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        return 0.0


kb10 = Noise(2_500)
mb4 = Noise(1_000_000)
mb40 = Noise(10_000_000)
mb400 = Noise(100_000_000)
