"""A torch model's parameters <-> one flat float32 vector, always in the same order.

Knows:    trainable parameters first, in the model's order, then frozen ones, then the floating buffers saved with it
          (BatchNorm's running mean and variance). Other buffers (its batch counter, those that are not saved) are no
          part of the vector: they are as a new model has them each time a vector is written. A running variance is
          never negative in the model, whatever the vector holds.
Never:    copies a parameter to read or write one: the model's tensors are views of the flat one.
Imports:  torch, numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.errors import LocalError

OTHER_MODEL = "state and task do not belong together: use the study folder that the model was learnt with"
_COMPLEX = "keep real and imaginary part as two float32 parameters, and make a complex number of them in forward()"
_WHOLE = "whole numbers cannot be trained together; build the model in float32"
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
            _check_shape(name, tensor)
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise LocalError(
                    f"{name} is {tensor.dtype} on {tensor.device}; a task's model is float32 on the CPU",
                    hint=_type_hint(tensor.dtype),
                )
        self.trained = sum(value.numel() for _, value in trained)
        self.values = torch.cat([tensor.detach().reshape(-1) for _, tensor in tensors])
        self.gradients = torch.zeros(self.trained)
        self._kept = [(buffer, buffer.clone()) for buffer in _outside(model)]
        self._variances = _variances(model)
        self._places: list[tuple[str, slice, torch.Size]] = []  # in the order of the vector
        place = 0
        for index, (name, tensor) in enumerate(tensors):
            here = slice(place, place := place + tensor.numel())
            self._places.append((name.partition(" ")[2], here, tensor.shape))
            tensor.data = self.values[here].view(tensor.shape)
            if index < len(trained):
                tensor.grad = self.gradients[here].view(tensor.shape)

    def read(self) -> NDArray[np.float32]:
        """A copy of the vector, float32 (p,)."""
        return np.array(self.values.numpy(), dtype=np.float32)

    def write(self, vector: NDArray[np.float32]) -> None:
        """Set the model to `vector`, and everything else it holds to how it began.

        A running variance below 0 becomes its own size: sums of late differences overshoot (decision 44), the root of
        a negative number is no number, and the size is of the right order. `vector` itself is left as it is, so that
        an update is the difference to what was announced. Raises LocalError when its length is another model's.
        """
        if vector.shape != (len(self.values),):
            raise LocalError(
                f"the task's model has {len(self.values)} parameters, the vector has shape {vector.shape}",
                hint="task and plan do not belong together",
            )
        self.values.copy_(torch.from_numpy(np.array(vector, dtype=np.float32)))
        for buffer, first in self._kept:
            buffer.copy_(first)
        for variance in self._variances:
            variance.abs_()

    def state(self, vector: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """`vector` to the bit as torch's `state_dict` names it, copied, and the integer buffers beside it."""
        self.write(vector)
        exact = {name: np.array(vector[here], np.float32).reshape(tuple(shape)) for name, here, shape in self._places}
        saved = self.model.state_dict()
        return {name: exact.get(name, np.array(tensor.detach().numpy())) for name, tensor in saved.items()}

    def vector_of(self, state: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """A state by name as this model's vector, float32 (p,); integer buffers are no part of it.

        Raises LocalError naming what is missing, or has another shape or dtype.
        """
        vector = np.empty(len(self.values), np.float32)
        for name, here, shape in self._places:
            if name not in state:
                raise LocalError(f"the state has no {name}, the task's model has", hint=OTHER_MODEL)
            found = state[name]
            if found.shape != tuple(shape) or found.dtype != np.float32:
                said = f"{name} is {found.dtype} {found.shape} in the state, float32 {tuple(shape)} in the task's model"
                raise LocalError(said, hint=OTHER_MODEL)
            vector[here] = found.reshape(-1)
        return vector


def difference(new: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.float32]:
    """new minus base, float32 (p,): subtracted in float64, rounded once, block by block."""
    out = np.empty(base.shape, np.float32)
    for start in range(0, len(base), BLOCK):
        block = slice(start, start + BLOCK)
        out[block] = new[block].astype(np.float64) - base[block].astype(np.float64)
    return out


def _type_hint(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return _COMPLEX
    return "end model() with .float()" if dtype.is_floating_point else _WHOLE


def _check_shape(name: str, tensor: Tensor) -> None:
    """Raise LocalError where a parameter has no shape before data come: nobody could make version 0."""
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise LocalError(
            f"{name} belongs to a lazy module, which has no size before it has seen data",
            hint="write the module without Lazy, and the number of its inputs: nn.Linear(12, 16)",
        )


def _buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Floating buffers that state_dict keeps, each once, in the model's order."""
    saved = model.state_dict(keep_vars=True)
    return [
        (f"buffer {name}", buffer)
        for name, buffer in model.named_buffers()
        if name in saved and buffer.dtype.is_floating_point
    ]


def _outside(model: nn.Module) -> list[Tensor]:
    """Buffers that are no part of the vector: integer ones, and those that state_dict does not keep."""
    inside = {id(buffer) for _, buffer in _buffers(model)}
    return [buffer for buffer in model.buffers() if id(buffer) not in inside]


def _variances(model: nn.Module) -> list[Tensor]:
    """Running variances of normalisation layers."""
    return [
        module.running_var
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_var is not None
    ]
