"""Infection under rhDNase or placebo in cystic fibrosis: logistic regression on two columns, judged by AUC; 51 sites.

Data:     rhDNase.csv of the R package survival, 645 patients; a site is one institution, 4 to 24 patients.
"""

import csv
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, scaled
from learning.task import DataSource, LocalError, Patients, SiteData, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = tuple(f"inst-{number}" for number in range(1, 52))
CONSTANTS = {"trt": (0.5, 0.5), "fev": (60, 25)}


class RhDNase(TorchTask):
    metric, higher_is_better, weight = "auc", True, "pairs"
    contract = DataContract(
        (Column("trt", values=(0, 1)), Column("fev", low=0, high=200), Column("ill", values=(0, 1)))
    )

    def model(self) -> nn.Module:
        return nn.Linear(len(CONSTANTS), 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.inputs)[:, 0], batch.targets.float())

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        above = outputs[targets == 1] - outputs[targets == 0].T
        auc = {"auc": float((above > 0).mean() + 0.5 * (above == 0).mean())} if above.size else {}
        return {"pairs": float(above.size), **auc}

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        with (source.folder / "multicentre-trials" / "rhDNase.csv").open(newline="", encoding="utf-8") as file:
            first = {row["id"]: row for row in reversed(list(csv.DictReader(file)))}
        rows = [row for row in first.values() if f"inst-{row['inst']}" == source.site]
        if not rows:
            raise LocalError(f"no site {source.site}", hint=f"sites: {', '.join(SITES)}")
        table = {name: np.array([float(row[name]) for row in rows]) for name in CONSTANTS}
        table["ill"] = np.array([float(row["ivstart"] not in ("", "NA")) for row in rows])
        self.contract.check(table, where=source.site)
        patients = Patients(scaled(table, CONSTANTS), table["ill"].astype(np.int64))
        test = np.array([is_test("rhdnase", source.split, row["id"], share=0.3) for row in rows])
        return SiteData(source.site, *split_patients(patients, test), bytes_data=0)


task = RhDNase()
