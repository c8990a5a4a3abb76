"""How many of a ward's patients are ill, one parameter; option `way` says how the table is read, well or carelessly.

way   table (default): as studies/README.md shows; old: read_csv without a contract, then sift; float, open, key, raise:
      code of its own that fails with a cell in its error's text; nonsense: load returns something else
"""

import csv
from pathlib import Path
from typing import cast

import numpy as np

from learning.contract import Column, DataContract, Table, read_csv
from learning.task import (
    Cancelled,
    DataSource,
    Patients,
    Progress,
    SiteData,
    Task,
    TrainingSettings,
    Vector,
    is_test,
    split_patients,
)

FILE = "ward.csv"


class Ward(Task):
    metric, higher_is_better = "accuracy", True
    contract = DataContract(
        (
            Column("patient", "text"),
            Column("age", low=18, high=110),
            Column("sex", "category", values=("F", "M"), missing=True),
            Column("ill", values=(0, 1), label=True),
        )
    )

    def parameters(self) -> int:
        return 1

    def initial(self, seed: int) -> Vector:
        return np.zeros(1, np.float32)

    def inputs(self, table: Table) -> np.ndarray:
        return np.asarray(np.nan_to_num(np.stack([(table["age"] - 60) / 15, table["sex"]], axis=1)))

    def load(self, source: DataSource) -> SiteData:
        way, path = source.options.get("way", "table"), source.path(FILE)
        if way in CARELESS:
            CARELESS[way](path)
        if way == "nonsense":
            return cast(SiteData, {"train": path.read_text()})
        if way == "old":
            table, _ = self.contract.sift(
                read_csv(path, quarantine=source.quarantine), where=FILE, quarantine=source.quarantine
            )
        else:
            genes = tuple(Column(f"gene{number}") for number in range(int(source.options.get("genes", "0"))))
            table = source.table(DataContract((*self.contract.columns, *genes)), FILE)
        patients = Patients(self.inputs(table), table["ill"].astype("int64"))
        test = np.array([is_test("ward", source.split, patient, share=0.3) for patient in table["patient"]])
        train, held = split_patients(patients, test)
        return SiteData(source.site, train, held, path.stat().st_size)

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
        return np.asarray([0.1 * (data.train.targets.mean() - base[0])], np.float32)

    def predict(self, vector: Vector, patients: Patients) -> np.ndarray:
        return np.full(len(patients), vector[0])

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return {"accuracy": float(np.mean((outputs > 0.5) == targets))}

    def loss_on(self, vector: Vector, patients: Patients) -> float:
        return float(np.mean((vector[0] - patients.targets) ** 2))


def _float(path: Path) -> None:
    for row in list(csv.reader(path.open()))[1:]:
        list(map(float, row))


def _open(path: Path) -> None:
    for row in list(csv.reader(path.open()))[1:]:
        (path.parent / f"{row[0]}.dcm").read_bytes()


def _key(path: Path) -> None:
    for row in list(csv.reader(path.open()))[1:]:
        {"F": 0, "M": 1}[row[0]]


def _raise(path: Path) -> None:
    try:
        _float(path)
    except ValueError as error:
        raise RuntimeError(f"cannot use {path.read_text()}") from error


CARELESS = {"float": _float, "open": _open, "key": _key, "raise": _raise}
task = Ward()
