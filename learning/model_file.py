"""A model in one file: its state by name as safetensors, and a header that says which version of which study it is.

Knows:    the header's fields, their bounds, and that the state has the digest which the coordinator announced.
Never:    runs a task; opens pickles; holds a key or a patient's value.
Source:   the safetensors format: 8 bytes of length, a JSON header, tensors. It executes nothing when it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from protocol.digests import digest_of
from schemas.errors import LocalError

FORMAT = "wardround-model-1"
KEY = "wardround"  # the one entry of the file's metadata: with more their order, and so the bytes, would be chance
HEADER_CHARACTERS_MAX = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "`wardround model export` writes such a file"


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """Where a model comes from; digests in hex.

    plan, code, model   digest of the plan, of the task's folder, and of the version's body as it was announced
    value               the metric's weighted mean over the `judged_by` sites that measured this version; None: nobody
    sites               whose updates were counted in this version or one before it, sorted
    """

    study: str
    title: str
    plan: str
    version: int
    model: str
    parameters: int
    task: str
    code: str
    metric: str
    higher_is_better: bool
    value: float | None
    judged_by: int
    sites: tuple[str, ...]

    def to_text(self) -> str:
        """Canonical JSON: the same header has the same text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_text(cls, text: str, *, where: str) -> ModelHeader:
        """Raises LocalError for anything but a header of this format."""
        try:
            values = json.loads(text, parse_constant=_refused) if len(text) <= HEADER_CHARACTERS_MAX else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise LocalError(f"{where} has no header of the format {FORMAT}", hint=_HINT)
        if set(values) != {field.name for field in fields(cls)} or not _plausible(values):
            raise LocalError(f"the header of {where} is damaged", hint="export the model again")
        return cls(**{**values, "sites": tuple(values["sites"])})


def write_model(path: Path, state: Mapping[str, NDArray[Any]], header: ModelHeader) -> None:
    """Write the file whole or not at all, and missing folders; the same state and header give the same bytes.

    Raises LocalError where it cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
    if path.exists() and not path.is_file():  # it is replaced by renaming: a device would be gone
        raise LocalError(f"{path} cannot be written: it is no plain file", hint="name a file")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, part, metadata={KEY: header.to_text()})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink()
        said = getattr(error, "strerror", None) or str(error)
        raise LocalError(f"{path} cannot be written: {said}", hint="free space there, or name another --out") from None


def read_model(path: Path) -> tuple[ModelHeader, dict[str, NDArray[Any]]]:
    """Header and state. Raises LocalError when the file cannot be read or is not of this format."""
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise LocalError(f"{path} was not exported by wardround: it has no header of a study", hint=_HINT)
            header = ModelHeader.from_text(text, where=str(path))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror or error}", hint=_HINT) from None
    except (SafetensorError, ValueError, TypeError) as error:  # a dtype that numpy has not raises the latter two
        raise LocalError(f"{path} is no whole safetensors file: {error}", hint=_HINT) from None


def check_state(vector: NDArray[np.float32], header: ModelHeader, *, where: str) -> None:
    """Raise LocalError unless `vector` has the digest that the header names: a changed weight is found."""
    found = digest_of([np.ascontiguousarray(vector, "<f4").data.cast("B")]).hex()
    if found != header.model:
        raise LocalError(
            f"{where} does not hold the model that its header names: digest {found[:16]}…, announced "
            f"{header.model[:16]}…",
            hint="the file was changed after it was exported; export the model again",
        )


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number of a header")


def _plausible(values: Mapping[str, Any]) -> bool:
    texts = ("study", "title", "task", "metric")
    counts = ("version", "parameters", "judged_by")
    value, sites = values["value"], values["sites"]
    return (
        all(isinstance(values[name], str) for name in texts)
        and all(type(values[name]) is int and values[name] >= 0 for name in counts)
        and all(isinstance(values[name], str) and _DIGEST.fullmatch(values[name]) for name in ("plan", "code", "model"))
        and isinstance(values["higher_is_better"], bool)
        and (value is None or type(value) is float)
        and isinstance(sites, list)
        and all(isinstance(site, str) for site in sites)
    )
