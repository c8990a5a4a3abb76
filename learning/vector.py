"""A torch model's parameters <-> one flat float32 vector, always in the same order.

Knows:    trainable parameters first, in the model's order, then frozen ones, then the floating buffers saved with it
          (BatchNorm's running mean and variance). Integer buffers (its batch counter) are no part of the vector: they
          stay at the site.
Never:    copies a parameter to read or write one: the model's tensors are views of the flat one.
Imports:  torch, numpy.   Used by: learning.torch_task.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.errors import LocalError

BLOCK = 1 << 20  # elements subtracted at a time: a 400 MB model needs no 800 MB of float64 beside it


class FlatModel:
    """A model whose tensors live in one: `values` float32 (p,), of which the first `trained` are trained.

    gradients   float32 (trained,), filled by backward(); zero it before each step
    Raises LocalError when the model has no parameters, or one that is not float32 on the CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        named = [(f"parameter {name}", value) for name, value in model.named_parameters()]
        trained = [(name, value) for name, value in named if value.requires_grad]
        tensors = [*trained, *((name, value) for name, value in named if not value.requires_grad), *_buffers(model)]
        if not trained:
            raise LocalError("the task's model has no parameters to train")
        for name, tensor in tensors:
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise LocalError(
                    f"{name} is {tensor.dtype} on {tensor.device}; a task's model is float32 on the CPU",
                    hint="end model() with .float()",
                )
        self.trained = sum(value.numel() for _, value in trained)
        self.values = torch.cat([tensor.detach().reshape(-1) for _, tensor in tensors])
        self.gradients = torch.zeros(self.trained)
        place = 0
        for index, (_, tensor) in enumerate(tensors):
            here = slice(place, place := place + tensor.numel())
            tensor.data = self.values[here].view(tensor.shape)
            if index < len(trained):
                tensor.grad = self.gradients[here].view(tensor.shape)

    def read(self) -> NDArray[np.float32]:
        """A copy of the vector, float32 (p,)."""
        return np.array(self.values.numpy(), dtype=np.float32)

    def write(self, vector: NDArray[np.float32]) -> None:
        """Set the model to `vector`. Raises LocalError when its length is another model's."""
        if vector.shape != (len(self.values),):
            raise LocalError(
                f"the task's model has {len(self.values)} parameters, the vector has shape {vector.shape}",
                hint="task and plan do not belong together",
            )
        self.values.copy_(torch.from_numpy(np.array(vector, dtype=np.float32)))


def difference(new: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.float32]:
    """new minus base, float32 (p,): subtracted in float64, rounded once, block by block."""
    out = np.empty(base.shape, np.float32)
    for start in range(0, len(base), BLOCK):
        block = slice(start, start + BLOCK)
        out[block] = new[block].astype(np.float64) - base[block].astype(np.float64)
    return out


def _buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Floating buffers that state_dict keeps, each once, in the model's order."""
    saved = model.state_dict(keep_vars=True)
    return [
        (f"buffer {name}", buffer)
        for name, buffer in model.named_buffers()
        if name in saved and buffer.dtype.is_floating_point
    ]
