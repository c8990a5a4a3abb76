"""What a study's task is written with: `from wardround.learning import TorchTask, Column, DataContract`."""

from typing import TYPE_CHECKING, Any

import learning

if TYPE_CHECKING:
    from learning import (
        Batch,
        Column,
        DataContract,
        DataSource,
        LocalError,
        Patients,
        SiteData,
        Table,
        Task,
        TorchTask,
        TrainingCancelledError,
        TrainingError,
        TrainingSettings,
        Vector,
        hashed_share,
        is_test,
        logistic,
        packaged_file,
        read_csv,
        scaled,
        softmax,
        split_patients,
    )

__all__ = [
    "Batch", "Column", "DataContract", "DataSource", "LocalError", "Patients", "SiteData", "Table", "Task", "TorchTask",
    "TrainingCancelledError", "TrainingError", "TrainingSettings", "Vector", "hashed_share", "is_test", "logistic",
    "packaged_file", "read_csv", "scaled", "softmax", "split_patients",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a task without torch is one without torch."""
    if name in learning.HOMES:
        return getattr(learning, name)
    raise AttributeError(f"module wardround.learning has no attribute {name}")
