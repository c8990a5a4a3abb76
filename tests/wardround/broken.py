"""Studies that are broken in one way each, written as folders: what an author may hand in."""

import itertools
from collections.abc import Mapping
from pathlib import Path

_numbers = itertools.count()

HEAD = """\
import numpy as np
import torch
from torch import nn

from learning.contract import Column, DataContract, scaled
from learning.task import Patients, SiteData, is_test, split_patients
from learning.torch_task import TorchTask


class Ward(TorchTask):
"""
GOOD: Mapping[str, str] = {
    "names": """
metric, higher_is_better = "accuracy", True
contract = DataContract(
    (
        Column("patient", "text"),
        Column("age", low=18, high=110),
        Column("sex", "category", values=("F", "M"), missing=True),
        Column("ill", values=(0, 1), label=True),
    )
)
""",
    "model": """
def model(self):
    return nn.Linear(2, 2)
""",
    "loss": """
def loss(self, model, batch):
    return nn.functional.cross_entropy(model(batch.inputs), batch.targets)
""",
    "measure": """
def measure(self, outputs, targets):
    return {"accuracy": float((outputs.argmax(axis=1) == targets).mean())}
""",
    "inputs": """
def inputs(self, table):
    return scaled(table, {"age": (60, 15), "sex": (0.5, 0.5)})
""",
    "load": """
def load(self, source):
    name = f"{source.site}.csv"
    table = source.table(self.contract, name)
    patients = Patients(self.inputs(table), table["ill"].astype("int64"))
    test = np.array([is_test("ward", source.split, one, share=0.3) for one in table["patient"]])
    train, held = split_patients(patients, test)
    return SiteData(source.site, train, held, source.path(name).stat().st_size)
""",
}


def method(signature: str, *lines: str) -> str:
    """The text of one method of a task."""
    return f"\ndef {signature}:\n" + "".join(f"    {line}\n" for line in lines)


def study(place: Path, *, head: str = HEAD, **parts: str) -> Path:
    """A study's folder with a task.py whose `parts` are other than the good one's."""
    folder = place / f"ward_{next(_numbers)}"
    folder.mkdir(parents=True)
    body = "".join({**GOOD, **parts}.values())
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    (folder / "task.py").write_text(f"{head}{indented}\n\ntask = Ward()\n")
    return folder
