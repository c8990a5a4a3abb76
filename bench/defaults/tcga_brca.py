"""Survival after breast cancer: a linear Cox model on 39 columns, judged by the C-index; six regions.

Data:     TCGA-BRCA as FLamby prepared it, 1,088 patients of six regions.
"""

import csv
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract
from learning.metrics import c_index
from learning.survival import cox_loss
from learning.task import DataSource, LocalError, Patients, SiteData, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = tuple(f"region-{number}" for number in range(6))


class TcgaBrca(TorchTask):
    metric, higher_is_better, weight = "c-index", True, "pairs"
    contract = DataContract((Column("age_at_index", low=18, high=100), Column("E", values=(0, 1)), Column("T", low=0)))

    def model(self) -> nn.Module:
        return nn.Linear(39, 1, bias=False)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cox_loss(model(batch.inputs)[:, 0], batch.targets[:, 0], batch.targets[:, 1])

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        index, pairs = c_index(outputs[:, 0], targets[:, 0], targets[:, 1])
        return {"pairs": float(pairs)} | ({} if index is None else {"c-index": index})

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        if source.site not in SITES:
            raise LocalError(f"no site {source.site}", hint=f"sites: {', '.join(SITES)}")
        folder = source.folder / "tcga-brca"
        with (folder / "train_test_split.csv").open(newline="", encoding="utf-8") as file:
            here = {row["pid"] for row in csv.DictReader(file) if row["fold2"][-1] == source.site[-1]}
        with (folder / "brca.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["pid"] in here]
        names = [name for name in rows[0] if name not in ("pid", "E", "T")]
        table = {name: np.array([float(row[name]) for row in rows]) for name in (*names, "E", "T")}
        self.contract.check(table, where=source.site)
        table["age_at_index"] = (table["age_at_index"] - 60) / 15
        inputs = np.stack([table[name] for name in names], axis=1)
        patients = Patients(inputs, np.stack([table["T"], table["E"]], axis=1))
        test = np.array([is_test("tcga-brca", source.split, row["pid"], share=0.3) for row in rows])
        return SiteData(source.site, *split_patients(patients, test), bytes_data=0)


task = TcgaBrca()
