"""Heart disease at four hospitals: logistic regression, judged by accuracy beside AUC and "always the larger class".

Data:     the four `processed.*.data` files of UCI Heart Disease, in a folder the user names (README.md).
Protocol: FLamby's Fed-Heart-Disease: 13 inputs of 10 columns, complete rows only, its split, label num > 0.
Scaling:  option `scaling`: `constants` (default), round clinical figures, the same everywhere; or `hospital`, as FLamby
          does, by the training patients of the own hospital (which hides how ill its patients are: README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from learning.contract import Column, DataContract, Table
from learning.metrics import accuracy, auc, defined
from learning.outputs import logistic
from learning.task import DataSource, LocalError, Patients, SiteData
from learning.torch_task import Batch, TorchTask

SITES = ("cleveland", "hungarian", "switzerland", "va")
KEPT = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
HEADER = (*KEPT, "slope", "ca", "thal", "num")  # slope, ca and thal are missing at most hospitals
DUMMIES = {"cp": (2, 3, 4), "restecg": (1, 2)}  # a 0/1 input for each value but the first
CONSTANTS = {"age": (55, 10), "trestbps": (130, 20), "chol": (220, 100), "thalach": (140, 25), "oldpeak": (1, 1)}
FLAG = (0.5, 0.5)  # (centre, unit) of the 0/1 inputs
SPLIT = "43"  # FLamby's random_state; the plan's option `split` takes another


class Heart(TorchTask):
    metric = "accuracy"
    higher_is_better = True
    contract = DataContract(
        (
            Column("age", low=18, high=110),
            Column("sex", "integer", values=(0, 1)),
            Column("cp", "integer", values=(1, 2, 3, 4), missing=True),
            Column("trestbps", low=0, high=300, missing=True),
            Column("chol", low=0, high=1000, missing=True),  # 0 hides a missing value; FLamby keeps it
            Column("fbs", "integer", values=(0, 1), missing=True),
            Column("restecg", "integer", values=(0, 1, 2), missing=True),
            Column("thalach", low=40, high=250, missing=True),
            Column("exang", "integer", values=(0, 1), missing=True),
            Column("oldpeak", low=-5, high=10, missing=True),
            Column("num", "integer", values=(0, 1, 2, 3, 4), label=True),
        )
    )

    def model(self) -> nn.Module:
        return nn.Linear(13, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.inputs)[:, 0], batch.targets.float())

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        scores, ill = outputs[:, 0], targets == 1
        return defined(
            {
                "accuracy": accuracy(scores > 0, ill),
                "larger-class": float(max(ill.mean(), 1 - ill.mean())),
                "auc": auc(scores, ill)[0],
            }
        )

    def inputs(self, table: Table) -> NDArray[np.float64]:
        """float64 (n, 13), scaled by the constants; a missing value becomes the centre."""
        centre, unit = _constants()
        return np.nan_to_num((_recorded(table) - centre) / unit, nan=0.0)

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"probability": logistic(outputs[:, 0])}  # of a diseased vessel

    def load(self, source: DataSource) -> SiteData:
        path = _file(source)
        table = source.table(self.contract, path.name, names=HEADER)
        patients = _complete(table)
        train, test = _split(patients.targets, source.split if "split" in source.options else SPLIT)
        scaling = _constants()
        data = SiteData(source.site, patients.take(train), patients.take(test), path.stat().st_size)
        if source.options.get("scaling", "constants") == "hospital":
            scaling = _statistics(data.train.inputs)
        elif source.options.get("scaling", "constants") != "constants":
            raise LocalError("option scaling of the study heart is unknown", hint="constants or hospital")
        return _rescaled(data, (np.zeros(13), np.ones(13)), scaling)

    def pool(self, sites: Sequence[SiteData]) -> SiteData:
        """Everybody's patients; scaled by the training patients of all where a hospital would scale by its own."""
        raw = super().pool([_rescaled(data, _scaling(data), (np.zeros(13), np.ones(13))) for data in sites])
        own = any(not np.array_equal(_scaling(data), _constants()) for data in sites)
        scaling = _statistics(raw.train.inputs) if own else _constants()
        return _rescaled(raw, (np.zeros(13), np.ones(13)), scaling)

    def as_pooled(self, data: SiteData, pooled: SiteData) -> SiteData:
        return _rescaled(data, _scaling(data), _scaling(pooled))


Scaling = tuple[NDArray[np.float64], NDArray[np.float64]]  # centre and unit of each input, float64 (13,)


def _file(source: DataSource) -> Path:
    hint = f"sites are {', '.join(SITES)}; their files are processed.<site>.data, see studies/heart/README.md"
    if source.site not in SITES:
        raise LocalError(f"the study heart has no site {source.site}", hint=hint)
    if source.folder is None:
        raise LocalError("the study heart needs the folder with the UCI heart disease files", hint=hint)
    return source.folder / f"processed.{source.site}.data"


def _complete(table: Table) -> Patients:
    """Rows with a value in every kept column; inputs as recorded, targets int64 (n,) 1 = disease."""
    known = np.all([~np.isnan(table[name]) for name in KEPT], axis=0)
    return Patients(_recorded(table), (table["num"] > 0).astype(np.int64)).take(known)


def _recorded(table: Table) -> NDArray[np.float64]:
    """float64 (n, 13), not scaled: each column, or a 0/1 column for each value but the first."""
    columns = [
        column
        for name in KEPT
        for column in ([table[name] == value for value in DUMMIES[name]] if name in DUMMIES else [table[name]])
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _split(targets: NDArray[np.int64], split: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows (train, test) exactly as FLamby draws them: stratified unless a class has fewer than three patients."""
    if not split.isdecimal() or len(split) > 9:
        raise LocalError("option split of the study heart is no whole number", hint=f"FLamby's split is {SPLIT}")
    stratify = targets if np.bincount(targets, minlength=2).min() >= 3 else None
    rows = np.arange(len(targets))
    train, test = train_test_split(rows, train_size=0.66, test_size=0.34, random_state=int(split), stratify=stratify)
    return train, test


def _constants() -> Scaling:
    pairs = [CONSTANTS.get(name, FLAG) for name in KEPT for _ in DUMMIES.get(name, (1,))]
    centre, unit = np.array(pairs, np.float64).T
    return centre, unit


def _statistics(inputs: NDArray[np.float64]) -> Scaling:
    return inputs.mean(axis=0), inputs.std(axis=0, ddof=1) + 1e-9


def _scaling(data: SiteData) -> Scaling:
    return data.extra["centre"], data.extra["unit"]


def _rescaled(data: SiteData, old: Scaling, new: Scaling) -> SiteData:
    train, test = (
        Patients((part.inputs * old[1] + old[0] - new[0]) / new[1], part.targets) for part in (data.train, data.test)
    )
    return SiteData(data.site, train, test, data.bytes_data, {"centre": new[0], "unit": new[1]})


task = Heart()
