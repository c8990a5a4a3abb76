"""What is learned: tasks (model, loss, metric, data contract) and their parameters as one flat vector.

What a study's author needs, by name: `from wardround.learning import TorchTask, Column`. Imported when it is asked
for: a task without torch is one without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learning.contract import Column, DataContract, Table, packaged_file, read_csv, scaled
    from learning.outputs import logistic, softmax
    from learning.task import (
        DataSource,
        Patients,
        SiteData,
        Task,
        TrainingCancelledError,
        TrainingError,
        TrainingSettings,
        Vector,
        hashed_share,
        is_test,
        split_patients,
    )
    from learning.torch_task import Batch, TorchTask
    from schemas.errors import LocalError

HOMES = {
    "Batch": "learning.torch_task",
    "Column": "learning.contract",
    "DataContract": "learning.contract",
    "DataSource": "learning.task",
    "LocalError": "schemas.errors",
    "Patients": "learning.task",
    "SiteData": "learning.task",
    "Table": "learning.contract",
    "Task": "learning.task",
    "TorchTask": "learning.torch_task",
    "TrainingCancelledError": "learning.task",
    "TrainingError": "learning.task",
    "TrainingSettings": "learning.task",
    "Vector": "learning.task",
    "hashed_share": "learning.task",
    "is_test": "learning.task",
    "logistic": "learning.outputs",
    "packaged_file": "learning.contract",
    "read_csv": "learning.contract",
    "scaled": "learning.contract",
    "softmax": "learning.outputs",
    "split_patients": "learning.task",
}  # name -> the module that it is imported from

__all__ = [
    "Batch", "Column", "DataContract", "DataSource", "LocalError", "Patients", "SiteData", "Table", "Task", "TorchTask",
    "TrainingCancelledError", "TrainingError", "TrainingSettings", "Vector", "hashed_share", "is_test", "logistic",
    "packaged_file", "read_csv", "scaled", "softmax", "split_patients",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module learning has no attribute {name}")
