"""Digests of everything whose bytes must be the same on every machine; run as a program, with fewer CPU features."""

import hashlib
import importlib
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.fixed_point import Encoding, add_weighted, delta, encode
from protocol.server_step import server_step

OPTIMISERS = ("average", "momentum", "adagrad", "yogi", "adam")
LENGTH = 131072 + 12345  # more than a block, and no multiple of any vector width


def dispatched() -> list[str]:
    """The CPU features that numpy could do without, and uses here."""
    numpy_core = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__[name]]


def digests() -> dict[str, str]:
    """SHA-256 by name of the words of an update, a sum, its change, and three steps of each optimiser."""
    rng = np.random.default_rng(7)
    model = rng.normal(size=LENGTH).astype(np.float32)
    found = {}
    for bits in (32, 64):
        encoding = Encoding(LENGTH, 20, 1.0, 0.125, bits)
        body = np.concatenate(list(encode(model, encoding).blocks()))
        total = np.zeros_like(body)
        for weight in (16, 11, 4):
            add_weighted(total, body, weight)
        found[f"words {bits}"] = _sha(body)
        found[f"sum {bits}"] = _sha(total)
        found[f"delta {bits}"] = _sha(delta(total, 1 / (encoding.scale * 48)))
    for name in OPTIMISERS:
        step = server_step(name, lr=0.1, beta1=0.9, beta2=0.99, denominator_floor=1e-3)
        x, state = model, step.initial(LENGTH)
        for scale in (1.0, 1e-3, 1e-9):
            change = (rng.normal(size=LENGTH) * scale).astype(np.float32)
            x, state = step.apply(x, change, state)
        found[name] = _sha(x, *state)
        rng = np.random.default_rng(8)
    return found


def _sha(*vectors: NDArray[Any]) -> str:
    hasher = hashlib.sha256()
    for vector in vectors:
        hasher.update(vector.tobytes())
    return hasher.hexdigest()


if __name__ == "__main__":
    json.dump({"features": dispatched(), "digests": digests()}, sys.stdout)
