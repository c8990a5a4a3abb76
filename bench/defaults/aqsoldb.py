"""Solubility of compounds from 17 descriptors: a small dense network, judged by RMSE; nine laboratories.

Data:     AqSolDB, 9,982 compounds of nine sources from 46 to 3,656; a site is one source.
"""

import csv
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, scaled
from learning.task import DataSource, LocalError, Patients, SiteData, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = tuple(f"source-{letter}" for letter in "abcdefghi")
CONSTANTS = {
    "MolWt": (270, 180), "MolLogP": (2, 3.5), "MolMR": (67, 47), "HeavyAtomCount": (17, 12),
    "NumHAcceptors": (3.5, 3.5), "NumHDonors": (1, 1.5), "NumHeteroatoms": (5, 5),
    "NumRotatableBonds": (4, 5), "NumValenceElectrons": (94, 65),
    "NumAromaticRings": (1, 1.3), "NumSaturatedRings": (0.3, 0.9), "NumAliphaticRings": (0.5, 1),
    "RingCount": (1.5, 1.6), "TPSA": (62, 63), "LabuteASA": (108, 76), "BalabanJ": (2.5, 1), "BertzCT": (470, 540),
}  # fmt: skip


class Aqsoldb(TorchTask):
    metric, higher_is_better = "rmse", False
    contract = DataContract((*(Column(name) for name in CONSTANTS), Column("Solubility", low=-20, high=5)))

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(len(CONSTANTS), 32), nn.ReLU(), nn.Linear(32, 1))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.mse_loss(model(batch.inputs)[:, 0], batch.targets)

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"rmse": float(np.sqrt(np.mean((outputs[:, 0] - targets) ** 2)))}

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        if source.site not in SITES:
            raise LocalError(f"no site {source.site}", hint=f"sites: {', '.join(SITES)}")
        with (source.folder / "aqsoldb" / "data_curated.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["ID"][0] == source.site[-1].upper()]
        table = {name: np.array([float(row[name]) for row in rows]) for name in (*CONSTANTS, "Solubility")}
        self.contract.check(table, where=source.site)
        inputs = np.clip(scaled(table, CONSTANTS), -5, 5)  # a few giants are tens of units away
        test = np.array([is_test("aqsoldb", source.split, row["ID"], share=0.3) for row in rows])
        return SiteData(source.site, *split_patients(Patients(inputs, table["Solubility"]), test), bytes_data=0)


task = Aqsoldb()
