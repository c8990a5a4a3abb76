"""The coordinator's vectors: one running sum in memory, model and optimiser state in files, passed block by block.

Knows:    how a sum becomes the next version; memory is the sum and a few blocks, whatever the number of sites.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from protocol.digests import BodyHasher
from protocol.fixed_point import Encoding, Words, add_weighted, check_sum, delta, examples_index, factor
from protocol.server_step import ServerStep, join_state, split_state
from schemas.errors import LocalError

MODEL_TYPE = np.dtype("<f4")


class RunningSum:
    """sum of weight * update, modulo 2**k; `words` is (d,)."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.words: Words = np.zeros(encoding.d, encoding.word_type)

    def add(self, body: Words, weight: int) -> None:
        """Add a verified body `weight` times; a negative weight takes it out again."""
        add_weighted(self.words, body, weight)

    def clear(self) -> None:
        self.words.fill(0)

    def blocks(self) -> Iterator[tuple[int, Words]]:
        """(index of the first word, block) in blocks of one chunk."""
        step = self.encoding.block_words
        for start in range(0, self.encoding.d, step):
            yield start, self.words[start : start + step]


@dataclass(frozen=True, slots=True)
class Stored:
    """A vector in a file, with the digests under which it goes on the log."""

    path: Path
    digest: bytes
    chunk_digests: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one server step made: the new model, the new optimiser state (if it has one), the digest of the sum."""

    model: Stored
    state: Stored | None
    sum: bytes


def take_step(
    total: RunningSum,
    step: ServerStep,
    *,
    n: int,
    sum_w: int,
    model: Path,
    state: Path | None,
    out: Path,
    out_state: Path,
    on_written: Callable[[int, int], None] | None = None,
) -> Stepped:
    """Check the sum, apply it to `model`, write the new model to `out` and its state to `out_state`.

    on_written   told after each block how many bytes of `out` and `out_state` can be read

    Raises PeerError with code `range` or `examples` when the sum cannot be right (nothing is used then), LocalError
    when the disk is full. Cost: one pass over sum, model and state, plus their digests.
    """
    encoding = total.encoding
    unit = factor(encoding, n, sum_w, _examples(total))
    hashes = BodyHasher(), BodyHasher(), BodyHasher()
    try:
        with (
            model.open("rb") as old,
            out.open("wb", buffering=0) as new,
            _maybe(state) as held,
            _maybe_out(step, out_state) as kept,
        ):
            for start, block in total.blocks():
                check_sum(block, encoding, start, sum_w)
                hashes[2].update(block.data)
                floats = block[: max(0, min(len(block), encoding.p - start))]
                if len(floats):
                    before = read_vector(old, len(floats))
                    parts = split_state(read_vector(held, len(floats) * step.vectors), step.vectors) if held else None
                    after, moved = step.apply(
                        before, delta(floats, unit), parts if parts is not None else step.initial(len(floats))
                    )
                    _write(new, after, hashes[0])
                    if kept is not None:
                        _write(kept, join_state(moved), hashes[1])
                    if on_written is not None:
                        on_written(new.tell(), kept.tell() if kept is not None else 0)
    except OSError as error:
        raise LocalError(
            f"{out}: the new version cannot be written ({error.strerror})", hint="free disk space"
        ) from None
    stored_state = _stored(out_state, hashes[1]) if step.vectors else None
    return Stepped(_stored(out, hashes[0]), stored_state, hashes[2].finish()[0])


def read_vector(file: BinaryIO, count: int) -> NDArray[np.float32]:
    """The next `count` float32 of a file. Raises LocalError when it ends early."""
    data = file.read(count * MODEL_TYPE.itemsize)
    if len(data) != count * MODEL_TYPE.itemsize:
        raise LocalError(
            f"{file.name}: the vector ends early", hint="remove the data folder's models: the log has them"
        )
    return np.frombuffer(data, MODEL_TYPE)


def _examples(total: RunningSum) -> int | None:
    index = examples_index(total.encoding)
    if index is None:
        return None
    return int(total.words[index : index + 1].view(f"<i{total.words.dtype.itemsize}")[0])


def _write(file: IO[bytes], values: NDArray[np.float32], hasher: BodyHasher) -> None:
    data = values.astype(MODEL_TYPE, copy=False).data.cast("B")
    hasher.update(data)
    while data:
        data = data[file.write(data) :]


def _stored(path: Path, hasher: BodyHasher) -> Stored:
    digest, chunks = hasher.finish()
    return Stored(path, digest, chunks, path.stat().st_size)


class _Nothing:
    """Stands where a step keeps no state."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _maybe(path: Path | None) -> "BinaryIO | _Nothing":
    return path.open("rb") if path is not None else _Nothing()


def _maybe_out(step: ServerStep, path: Path) -> "IO[bytes] | _Nothing":
    return path.open("wb", buffering=0) if step.vectors else _Nothing()
