"""Progression of HIV within the trial ACTG 175: logistic regression on twelve baseline columns, judged by AUC.

Data:     ACTG175.txt, 2,139 patients, no site column: dealt to eight invented sites of unequal size by a hash.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, scaled
from learning.task import DataSource, LocalError, Patients, SiteData, hashed_share, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = tuple(f"site-{number}" for number in range(1, 9))
CONSTANTS = {
    "age": (35, 10), "wtkg": (75, 15), "hemo": (0, 1), "homo": (0.5, 0.5), "drugs": (0, 1), "karnof": (95, 5),
    "race": (0, 1), "gender": (1, 1), "symptom": (0, 1), "cd40": (350, 120), "cd80": (1000, 500), "treat": (0.5, 0.5),
}  # fmt: skip
BOUNDS = np.cumsum(np.arange(1, 9)) / 36  # the largest site has eight times the patients of the smallest


class Actg175(TorchTask):
    metric, higher_is_better = "auc", True
    contract = DataContract((*(Column(name) for name in CONSTANTS), Column("cens", values=(0, 1))))

    def model(self) -> nn.Module:
        return nn.Linear(len(CONSTANTS), 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.inputs)[:, 0], batch.targets.float())

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        above = outputs[targets == 1] - outputs[targets == 0].T
        return {"auc": float((above > 0).mean() + 0.5 * (above == 0).mean())} if above.size else {}

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        lines = [line.split() for line in (source.folder / "actg175" / "ACTG175.txt").read_text().splitlines()]
        places = {name: lines[0].index(name) for name in (*CONSTANTS, "cens", "pidnum")}
        if source.site not in SITES:
            raise LocalError(f"no site {source.site}", hint=f"sites: {', '.join(SITES)}")
        site = SITES.index(source.site)
        rows = [
            row for row in lines[1:]
            if int(np.searchsorted(BOUNDS, hashed_share("site", "actg175", row[places["pidnum"]]))) == site
        ]  # fmt: skip
        table = {name: np.array([float(row[places[name]]) for row in rows]) for name in (*CONSTANTS, "cens")}
        self.contract.check(table, where=source.site)
        patients = Patients(scaled(table, CONSTANTS), table["cens"].astype(np.int64))
        test = np.array([is_test("actg175", source.split, row[places["pidnum"]], share=0.3) for row in rows])
        return SiteData(source.site, *split_patients(patients, test), bytes_data=0)


task = Actg175()
