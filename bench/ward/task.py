"""Made patients, as many at each site as the plan's options say, and a metric that takes `metric_ms`."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract
from learning.task import DataSource, Patients, SiteData, hashed_share
from learning.torch_task import Batch, TorchTask

COLUMNS = 8
HELD = 0.3  # of the patients, for testing; one at least of two or more


class Ward(TorchTask):
    """Whether a patient is ill, by logistic regression on eight columns."""

    metric, higher_is_better = "accuracy", True
    contract = DataContract(tuple(Column(f"x{number}") for number in range(COLUMNS)))
    _metric_s = 0.0

    def model(self) -> nn.Module:
        return nn.Linear(COLUMNS, 2)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        time.sleep(self._metric_s)
        return {"accuracy": float((outputs.argmax(axis=1) == targets).mean())}

    def load(self, source: DataSource) -> SiteData:
        self._metric_s = int(source.options["metric_ms"]) / 1000
        patients = int(source.options[source.site])
        rng = np.random.default_rng(int(hashed_share("ward", source.site) * 2**32))
        inputs = rng.normal(size=(patients, COLUMNS))
        ill = (inputs.sum(axis=1) + rng.normal(size=patients) > 0).astype(np.int64)
        everybody, held = Patients(inputs, ill), max(1, round(HELD * patients))
        rows = np.arange(patients)
        return SiteData(source.site, everybody.take(rows[held:]), everybody.take(rows[:held]), inputs.nbytes)


task = Ward()
