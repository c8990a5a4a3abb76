"""Survival with advanced lung cancer: a linear Cox model, judged by the C-index.

Data:     `load_lung` of lifelines, 228 patients of the NCCTG trial; 18 institutions merged into six sites.
Scaling:  by fixed clinical constants, nobody's statistics; a missing value becomes the constant's centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, Table, packaged_file, read_csv, scaled
from learning.metrics import c_index, defined
from learning.survival import cox_loss
from learning.task import DataSource, LocalError, Patients, SiteData, is_test, split_patients
from learning.torch_task import Batch, TorchTask

TEST_SHARE = 0.3
# Institutions from the largest to the smallest (ties: lower number first), each to the site with the fewest patients
# so far (ties: lower number). The row without an institution is left out.
SITES: Mapping[str, tuple[int, ...]] = {
    "site-1": (1, 10),
    "site-2": (7, 12, 15),
    "site-3": (5, 13, 32, 33),
    "site-4": (3, 21, 26),
    "site-5": (2, 6, 11),
    "site-6": (4, 16, 22),
}
CONSTANTS: Mapping[str, tuple[float, float]] = {  # column -> (centre, unit), round clinical figures
    "age": (60, 10),
    "sex": (1.5, 0.5),
    "ph.ecog": (1, 1),
    "ph.karno": (80, 10),
    "pat.karno": (80, 10),
    "meal.cal": (1000, 500),
    "wt.loss": (10, 10),
}


class Lung(TorchTask):
    metric = "c-index"
    higher_is_better = True
    weight = "pairs"
    contract = DataContract(
        (
            Column("time", "integer", 1, 3650, label=True),  # days
            Column("status", "integer", values=(0, 1), label=True),  # 1: died
            Column("age", low=18, high=100),
            Column("sex", "integer", values=(1, 2)),  # 1: male, 2: female
            Column("ph.ecog", "integer", 0, 4, missing=True),
            Column("ph.karno", low=0, high=100, missing=True),
            Column("pat.karno", low=0, high=100, missing=True),
            Column("meal.cal", low=0, high=5000, missing=True),
            Column("wt.loss", low=-100, high=150, missing=True),  # pounds in six months
        )
    )

    def model(self) -> nn.Module:
        layer = nn.Linear(len(CONSTANTS), 1, bias=False)
        nn.init.zeros_(layer.weight)
        return layer

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cox_loss(model(batch.inputs)[:, 0], batch.targets[:, 0], batch.targets[:, 1])

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        index, pairs = c_index(outputs[:, 0], targets[:, 0], targets[:, 1])
        return defined({"pairs": float(pairs), "c-index": index})

    def inputs(self, table: Table) -> NDArray[np.float64]:
        return scaled(table, CONSTANTS)

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """How many times the hazard of a patient at the centre of every constant."""
        return {"hazard-ratio": np.exp(outputs[:, 0].astype(np.float64))}

    def load(self, source: DataSource) -> SiteData:
        if source.site not in SITES:
            raise LocalError(f"the study lung has no site {source.site}", hint=f"its sites: {', '.join(SITES)}")
        path = packaged_file("lifelines", "datasets/lung.csv")
        whole = read_csv(path)
        here = np.isin(whole["inst"], SITES[source.site])
        table = {name: column[here] for name, column in whole.items()}
        self.contract.check(table, where=source.site)
        targets = np.stack([table["time"], table["status"]], axis=1)
        patients = Patients(self.inputs(table), targets)
        test = np.array([is_test("lung", source.split, str(row), share=TEST_SHARE) for row in np.flatnonzero(here)])
        train, held = split_patients(patients, test)
        return SiteData(source.site, train, held, round(path.stat().st_size * here.mean()))


task = Lung()
