"""A task whose training waits for a file, so that a test decides when an update is finished.

Training of a site ends once `<folder>/go` exists; `<folder>/started` tells that it has begun. The update is STEP in the
last coordinate: whatever is in the model tells how often it was counted. Option `parameters` makes the model larger.
While `<folder>/broken` exists its data cannot be loaded. While `<folder>/deaf` exists it does not heed a cancellation;
with option `dies` its process is killed.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from learning.contract import Column, DataContract
from learning.task import (
    Cancelled,
    DataSource,
    LocalError,
    Patients,
    Progress,
    SiteData,
    Task,
    TrainingCancelledError,
    TrainingSettings,
    Vector,
)

PARAMETERS = 8
STEP = 0.125  # exact in fixed point and float32


class Waiting(Task):
    metric, higher_is_better = "accuracy", True
    contract = DataContract((Column("x"),))

    def __init__(self) -> None:
        self._parameters = PARAMETERS  # of the study that was loaded last: asked for right after

    def parameters(self) -> int:
        return self._parameters

    def initial(self, seed: int) -> Vector:
        return np.zeros(self._parameters, np.float32)

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        if (source.folder / "broken").exists():
            raise LocalError("the data break the contract", hint="is the share mounted?")
        self._parameters = int(source.options.get("parameters", PARAMETERS))
        patients = Patients(np.zeros((4, 1)), np.zeros(4))
        where = np.frombuffer(str(source.folder).encode(), np.uint8)
        return SiteData(
            source.site, patients, patients, 32, {"where": where, "dies": np.array("dies" in source.options)}
        )

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
        folder = Path(data.extra["where"].tobytes().decode())
        if data.extra["dies"]:
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / "started").touch()
        while not (folder / "go").exists():
            if cancelled() and not (folder / "deaf").exists():
                raise TrainingCancelledError("cancelled")
            progress(0.5)
            time.sleep(0.02)
        update = np.zeros(len(base), np.float32)
        update[-1] = STEP
        return update

    def predict(self, vector: Vector, patients: Patients) -> np.ndarray:
        return np.zeros(len(patients))

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return {"accuracy": float(np.mean(outputs == targets))}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        return 0.0


task = Waiting()
