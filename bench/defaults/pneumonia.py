"""Pneumonia on chest X-rays of 28 x 28: a small convolutional network with GroupNorm, judged by accuracy.

Data:     pneumoniamnist.npz (thinned), its 1,148 validation and test images, one hospital's: dealt to five invented
          sites by a hash, with shares of pneumonia from a third to nine tenths.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.contract import Column, DataContract
from learning.task import DataSource, LocalError, Patients, SiteData, hashed_share, is_test, split_patients
from learning.torch_task import Batch, TorchTask

SITES = tuple(f"clinic-{number}" for number in range(1, 6))
BOUNDS = {0: np.cumsum([0.34, 0.26, 0.2, 0.12, 0.08]), 1: np.cumsum([0.1, 0.15, 0.2, 0.25, 0.3])}


class Pneumonia(TorchTask):
    metric, higher_is_better = "accuracy", True
    contract = DataContract((Column("label", values=(0, 1)),))

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2),
            nn.GroupNorm(4, 16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 6 * 6, 2),
        )  # fmt: skip

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets)

    def measure(self, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"accuracy": float((outputs.argmax(axis=1) == targets).mean())}

    def load(self, source: DataSource) -> SiteData:
        assert source.folder is not None
        if source.site not in SITES:
            raise LocalError(f"no site {source.site}", hint=f"sites: {', '.join(SITES)}")
        with np.load(source.folder / "pneumoniamnist" / "pneumoniamnist.npz", allow_pickle=False) as file:
            images = np.concatenate([file["val_images"], file["test_images"]])
            labels = np.concatenate([file["val_labels"], file["test_labels"]])[:, 0].astype(np.int64)
        self.contract.check({"label": labels.astype(np.float64)}, where=source.site)
        drawn = [hashed_share("site", "pneumonia", str(row)) for row in range(len(labels))]
        site = [int(np.searchsorted(BOUNDS[int(label)], share)) for label, share in zip(labels, drawn, strict=True)]
        rows = np.flatnonzero(np.array(site) == SITES.index(source.site))
        inputs = (images[rows, None].astype(np.float64) - 128) / 64
        test = np.array([is_test("pneumonia", source.split, str(row), share=0.3) for row in rows])
        return SiteData(source.site, *split_patients(Patients(inputs, labels[rows]), test), bytes_data=0)


task = Pneumonia()
