"""A finished update as a file: encoded block by block, hashed, on disk for good; later sealed chunk by chunk.

Knows:    the stored bytes are the encoded (one day masked) words, so that an update sent again is the same update.
Never:    holds more than a block in memory, leaves half a file under the final name.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from protocol.digests import BodyHasher, update_subject
from protocol.fixed_point import Encoding, encode
from protocol.sealing import ChunkSealer
from runtime.disk import open_plain
from schemas.errors import FederationError
from schemas.records import CHUNK_BYTES

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """What is known of an encoded body; `clipped` stays at this site."""

    digest: bytes
    chunk_digests: bytes
    size_bytes: int
    clipped: bool


class SealingStopped(FederationError):  # noqa: N818 - named for what happened
    """The service ends; the update is trained again after its next start."""


def write_body(
    update: IO[bytes],
    target: Path,
    encoding: Encoding,
    auxiliary: Mapping[str, float],
    stop: threading.Event | None = None,
) -> EncodedBody:
    """Encode the raw float32 vector in `update` into `target`; on disk when it returns.

    Raises EncodingError when the vector cannot be encoded, OSError when there is no space, SealingStopped once `stop`
    is set; no file is left then.
    """
    hasher, half = BodyHasher(), target.with_suffix(".half")
    try:
        with half.open("wb", buffering=CHUNK_BYTES) as file:
            encoded = encode(cast(Floats, _OnDisk(update)), encoding, auxiliary)
            for block in encoded.blocks():
                if stop is not None and stop.is_set():
                    raise SealingStopped("the service ends")
                hasher.update(block.data)
                file.write(block.data)
            file.flush()
            os.fsync(file.fileno())
        half.rename(target)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    digest, chunk_digests = hasher.finish()
    return EncodedBody(digest, chunk_digests, encoding.body_bytes, encoded.clipped)


class _OnDisk:
    """A float32 vector read where it is looked at; a mapped file would count as memory of this process as a whole.

    As much of an array as `encode` uses: shape, dtype, length and slices.
    """

    dtype = np.dtype("<f4")

    def __init__(self, file: IO[bytes]) -> None:
        self._handle = file.fileno()
        self.shape = (os.fstat(self._handle).st_size // 4,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> Floats:
        start, stop, _ = part.indices(len(self))
        return np.frombuffer(os.pread(self._handle, 4 * max(0, stop - start), 4 * start), self.dtype)


class SealedChunks:
    """The sealed chunks of a stored body, made when they are asked for; the same bytes every time."""

    def __init__(self, path: Path, body_key: bytes, header: bytes, count: int) -> None:
        """Raises OSError when the file is gone."""
        self._file = open_plain(path)
        self._sealer = ChunkSealer(body_key, update_subject(header), count)

    def chunk(self, index: int) -> bytes:
        """Chunk `index`, 16 bytes longer than the stored one."""
        return self._sealer.seal(index, os.pread(self._file.fileno(), CHUNK_BYTES, index * CHUNK_BYTES))

    def close(self) -> None:
        self._file.close()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
