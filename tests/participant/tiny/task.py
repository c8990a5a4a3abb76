"""Linear regression on a few invented rows; the site's name says how it misbehaves.

site-1 is well; `nan` trains to NaN, `untrained` has test patients alone,
`hangs` never reports, `slow` reports until it is cancelled, `mute` only asks
whether it was, `dies` kills its process, `dies-loading` while it loads, `garbles` writes to its service itself, `leaks`
fails with a patient's value in its message, `broken` breaks the data contract, `folder` does so while there is a file
`gone` in its folder, `wide` has thousands of columns that break theirs, `numpy` counts in numpy's numbers,
`asleep` does not come back from its first measurement.
"""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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

SECRET = "4711"


class Tiny(Task):
    metric, higher_is_better = "mse", False
    contract = DataContract((Column("x", "number", -5, 5),))
    _noted: Path | None = None
    _deaf = False
    _asleep: Path | None = None

    def parameters(self) -> int:
        return 2

    def initial(self, seed: int) -> Vector:
        return np.zeros(2, np.float32)

    def load(self, source: DataSource) -> SiteData:
        if source.site == "dies-loading":
            os.kill(os.getpid(), signal.SIGKILL)
        if source.folder is not None and (source.folder / "gone").exists():
            raise LocalError("the data are gone", hint="is the share mounted?")
        if source.site == "wide":
            names = [f"gene-{number}" for number in range(30_000)]
            wide = DataContract(tuple(Column(name, high=0) for name in names))
            wide.check(dict.fromkeys(names, np.ones(1)), where=source.site)
        rows = np.linspace(-9 if source.site == "broken" else -1, 1, 12)
        table, _ = self.contract.sift({"x": rows}, where=source.site, quarantine=source.quarantine)
        rows = table["x"]
        if source.site in ("prints", "floods"):
            _print(2_600_000 if source.site == "floods" else 1)
        if source.site == "spawns":
            assert source.folder is not None
            _spawn(source.folder / "children")
        self._noted = source.folder / "measured" if source.folder is not None and source.site == "noted" else None
        self._deaf = source.site == "deaf"
        self._asleep = source.folder / "measuring" if source.folder is not None and source.site == "asleep" else None
        patients = Patients(np.stack([np.ones(len(rows)), rows], axis=1), 1 + 2 * rows)
        train = patients.take(np.arange(0)) if source.site == "untrained" else patients
        bytes_data: Any = np.int64(96) if source.site == "numpy" else 96
        return SiteData(source.site, train, patients.take(np.arange(6)), bytes_data)

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
        if data.site == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if data.site == "hangs":
            time.sleep(600)
        if data.site == "garbles":
            for handle in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
                if os.path.exists(f"/proc/self/fd/{handle}") and stat.S_ISSOCK(os.fstat(handle).st_mode):
                    os.write(handle, b"\xff" * 64)
        if data.site == "leaks":
            raise ValueError(f"row of patient {SECRET}")
        while data.site == "slow":
            time.sleep(0.01)
            progress(0.5)
            if cancelled():
                raise TrainingCancelledError("cancelled")
        while data.site == "mute":
            time.sleep(0.01)
            if cancelled():
                raise TrainingCancelledError("cancelled")
        if data.site == "nan":
            return np.full(2, np.nan, np.float32)
        x, y = data.train.inputs, data.train.targets
        return np.asarray(-training.learning_rate * 2 * x.T @ (x @ base - y) / len(y), np.float32)

    def predict(self, vector: Vector, patients: Patients) -> np.ndarray:
        return np.asarray(patients.inputs @ vector)

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        if self._asleep is not None and not self._asleep.exists():
            self._asleep.touch()
            time.sleep(600)
        if self._noted is not None:
            time.sleep(0.01)
            with self._noted.open("ab") as file:
                file.write(b".")
        return {"mse": float(np.mean((outputs - targets) ** 2))}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        if self._deaf:
            time.sleep(600)
        return float(np.mean((self.predict(vector, patients) - patients.targets) ** 2))


def _print(times: int) -> None:
    for file in (sys.stdout, sys.stderr):
        print(f"patient {SECRET}" * (1 + times // 14), file=file, flush=True)
    subprocess.run(["sh", "-c", f"echo child {SECRET}; echo child {SECRET} >&2"], check=True)


def _spawn(note: Path) -> None:
    """A child, and a daemon that nobody's child is any more."""
    child = subprocess.Popen(["sleep", "600"])
    script = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        note.write_text(f"{child.pid} {int(parent.stdout.readline())}")


task = Tiny()
