"""In-hospital mortality after intensive care: logistic regression on APACHE's columns, judged by AUC.

Data:     `patient.csv`, one row a stay of the eICU demo, in a folder the user names (README.md). A site is one
          hospital, `hospital-73`, and keeps that hospital's rows alone.
Split:    by patient (`uniquepid`), by hash: all stays of one patient lie on one side, at two hospitals too.
Scaling:  by fixed clinical constants, nobody's statistics; a missing value becomes the constant's centre.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract, Table, scaled
from learning.metrics import auc, defined
from learning.outputs import logistic
from learning.task import DataSource, LocalError, Patients, SiteData, is_test, split_patients
from learning.torch_task import Batch, TorchTask

FILE = "patient.csv"
TEST_SHARE = 0.34
HINT = "studies/eicu/README.md says how to obtain the data and which hospitals have an outcome"
OUTCOME = "actualhospitalmortality"
SEXES, OUTCOMES = ("Female", "Male"), ("ALIVE", "EXPIRED")  # each is its place here: male 1, died 1
MISSING = ("", "-1", "-1.0")  # APACHE writes -1 where it could not compute
RISKS = ("predictedicumortality", "predictedhospitalmortality")  # APACHE's own predictions: log-odds are the inputs
RISK_BOUNDS = (0.002, 0.998)  # a score of exactly 0 or 1 has no log-odds
CONSTANTS = {  # input -> (centre, unit), round clinical figures
    "age": (65, 15),
    "gender": (0.5, 0.5),
    "acutephysiologyscore": (45, 20),
    "apachescore": (60, 25),
    "predictedicumortality": (-3.5, 1.5),  # 3 %
    "predictedhospitalmortality": (-3, 1.5),  # 5 %
    "unscored": (0, 1),
}


class Stays(NamedTuple):
    """One hospital's stays with a known outcome: column -> float64 (stays,), patient of each, bytes of its rows."""

    table: Table
    patients: list[str]
    bytes_data: int


class Eicu(TorchTask):
    metric = "auc"
    higher_is_better = True
    weight = "pairs"
    contract = DataContract(
        (
            Column("age", low=0, high=120, missing=True),
            Column("gender", "category", values=SEXES, missing=True),
            Column("acutephysiologyscore", low=0, high=252, missing=True),
            Column("apachescore", low=0, high=286, missing=True),
            Column("predictedicumortality", low=0, high=1, missing=True),
            Column("predictedhospitalmortality", low=0, high=1, missing=True),
            Column(OUTCOME, "category", values=OUTCOMES, label=True),
        ),
        missing=MISSING,
    )

    def model(self) -> nn.Module:
        return nn.Linear(len(CONSTANTS), 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.inputs)[:, 0], batch.targets.float())

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """AUC and the number of (died, lived) pairs it is the share of; without a pair there is no AUC."""
        value, pairs = auc(outputs[:, 0], targets == 1)
        return defined({"pairs": float(pairs), "auc": value})

    def inputs(self, table: Table) -> NDArray[np.float64]:
        """float64 (stays, 7); `unscored` is 1 where APACHE has no score."""
        odds = {name: _log_odds(table[name]) for name in RISKS}
        return scaled({**table, **odds, "unscored": np.isnan(table["apachescore"]).astype(np.float64)}, CONSTANTS)

    def predictions(self, outputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"probability": logistic(outputs[:, 0])}  # of dying in hospital

    def load(self, source: DataSource) -> SiteData:
        hospital, folder = _hospital(source)
        stays = _read(folder / FILE, hospital)
        self.contract.check(stays.table, where=f"{FILE}, {source.site}")
        patients = Patients(self.inputs(stays.table), stays.table[OUTCOME].astype(np.int64))
        test = np.array([is_test("eicu", source.split, patient, share=TEST_SHARE) for patient in stays.patients])
        train, held = split_patients(patients, test)
        return SiteData(source.site, train, held, stays.bytes_data)


def _hospital(source: DataSource) -> tuple[str, Path]:
    word, _, number = source.site.partition("-")
    if word != "hospital" or not number.isdecimal():
        raise LocalError(
            f"the study eicu has no site {source.site}", hint=f"sites are hospital-<hospitalid>, as hospital-73; {HINT}"
        )
    if source.folder is None:
        raise LocalError(f"the study eicu needs the folder with {FILE} of the eICU demo", hint=HINT)
    return number, source.folder


def _read(path: Path, hospital: str) -> Stays:
    """The hospital's rows, the others passed over unread. Raises LocalError: no file, no column, no outcome."""
    columns = Eicu.contract.names
    try:
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LocalError(f"{path.name} cannot be read: {type(error).__name__}", hint=f"looked for {path}") from error
    header = rows[0] if rows else []
    absent = [name for name in ("hospitalid", "uniquepid", *columns) if name not in header]
    ragged = sum(len(row) != len(header) for row in rows)
    if absent or ragged or len(rows) != len(lines):
        broken = f"{ragged} rows do not have {len(header)} fields, or go over several lines"
        what = f"no column {', '.join(absent)}" if absent else broken
        raise LocalError(f"{path.name}: {what}", hint=HINT)
    at = {name: header.index(name) for name in header}
    here = [index for index, row in enumerate(rows) if row[at["hospitalid"]] == hospital]
    known = [rows[index] for index in here if rows[index][at[OUTCOME]]]
    if not known:
        found = f"{len(here)} stays, none with a known outcome" if here else "no stay"
        raise LocalError(f"{path.name}: hospital-{hospital} has {found}: nothing to learn from", hint=HINT)
    table = {
        column.name: _column(path.name, column, [row[at[column.name]] for row in known])
        for column in Eicu.contract.columns
    }
    return Stays(table, [row[at["uniquepid"]] for row in known], sum(len(lines[index].encode()) for index in here))


def _column(where: str, column: Column, texts: list[str]) -> NDArray[np.float64]:
    """A column as numbers, NaN where missing. Raises LocalError with how many rows are neither, never with one."""
    values, wrong = column.read(texts, MISSING)
    if wrong.any():
        count, said = np.count_nonzero(wrong), column.unread[1]
        raise LocalError(f"{where}: column {column.name}: {count} of {len(texts)} rows {said}")
    return values


def _log_odds(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(risk, *RISK_BOUNDS)
    return np.log(bounded / (1 - bounded))


task = Eicu()
