"""Benign or malignant breast mass: a small dense network, judged by accuracy.

Data:     Wisconsin diagnostic breast cancer as shipped by scikit-learn, dealt to ten invented sites (README.md).
Scaling:  by the plausible range of each measurement, nobody's statistics.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, Table, packaged_file, read_csv, scaled
from learning.outputs import softmax
from learning.task import DataSource, LocalError, Patients, SiteData, hashed_share, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = [f"clinic-{number:02d}" for number in range(1, 11)]
MALIGNANT, BENIGN = np.cumsum(np.arange(1, 11)) / 55, np.cumsum(np.arange(10, 0, -1) ** 2) / 385  # see README.md
MEASURES = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "points", "symmetry")
COLUMNS = [f"{measure}-{kind}" for kind in ("mean", "error", "worst") for measure in (*MEASURES, "fractal")]
HIGHEST = [30, 40, 200, 3000, 0.2, 0.4, 0.5, 0.25, 0.4, 0.1]  # largest plausible means, standard errors, worst values
HIGHEST += [3, 5, 25, 600, 0.04, 0.15, 0.4, 0.06, 0.1, 0.03, 40, 50, 300, 5000, 0.3, 1.2, 1.3, 0.3, 0.7, 0.25]
HIGH = dict(zip(COLUMNS, HIGHEST, strict=True))


class Breast(TorchTask):
    metric, higher_is_better = "accuracy", True
    contract = DataContract(
        (*(Column(name, low=0, high=high) for name, high in HIGH.items()), Column("benign", values=(0, 1), label=True))
    )

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)  # softmax included

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"accuracy": float((outputs.argmax(axis=1) == targets).mean())}

    def inputs(self, table: Table) -> NDArray[np.float64]:
        return scaled(table, {name: (high / 2, high / 6) for name, high in HIGH.items()})

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"benign": softmax(outputs)[:, 1]}

    def load(self, source: DataSource) -> SiteData:
        if source.site not in SITES:
            raise LocalError(f"the study breast has no site {source.site}", hint=f"its sites: {', '.join(SITES)}")
        path = packaged_file("sklearn", "datasets/data/breast_cancer.csv")
        table = read_csv(path, names=[*COLUMNS, "benign"], skip=1)
        self.contract.check(table, where=path.name)
        drawn = [hashed_share("site", "breast", str(row)) for row in range(len(table["benign"]))]
        site = np.where(table["benign"] == 1, np.searchsorted(BENIGN, drawn), np.searchsorted(MALIGNANT, drawn))
        rows = np.flatnonzero(site == SITES.index(source.site))
        test = np.array([is_test("breast", source.split, str(row), share=0.3) for row in rows])
        patients = Patients(self.inputs(table), table["benign"].astype(np.int64))
        train, held = split_patients(patients.take(rows), test)
        return SiteData(source.site, train, held, round(path.stat().st_size * len(rows) / len(site)))


task = Breast()
