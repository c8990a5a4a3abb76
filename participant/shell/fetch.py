"""A model version from the log into a file: opened and checked chunk by chunk, in a few chunks of memory.

Never:    leaves a file under the final name that is not the announced model.
Used by:  participant.shell.study.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from protocol.digests import BodyHasher, body_digest
from protocol.sealing import ChunkOpener
from schemas.errors import PeerError
from schemas.records import BodyAt
from transport.bodies import BodyReader

INLINE_BYTES = 65_536  # a smaller model is opened at once: a thread would take longer than the work


async def fetch_model(
    reader: BodyReader,
    topic: str,
    model: BodyAt,
    *,
    body_key: bytes,
    subject: bytes,
    size_bytes: int,
    target: Path,
    on_bytes: Callable[[int], None],
) -> None:
    """Write the announced model, raw float32, to `target`; one that lies there already is checked and kept.

    on_bytes   told the size of each sealed chunk as it comes in
    Raises PeerError when digest or size are not as announced, BodyGone, and OSError when there is no space.
    """
    ref = model.body
    if ref.size_bytes != size_bytes or body_digest(ref.chunk_digests) != model.digest:
        raise PeerError(f"{topic}: the announced body is no model of this plan")
    if target.exists() and await asyncio.to_thread(_digest_of, target) == model.digest:
        return
    opener, half = ChunkOpener(body_key, subject, ref.count), target.with_suffix(".half")
    try:
        with _create(half) as file:
            written = 0
            async with contextlib.aclosing(reader.batches(topic, ref.runs)) as batches:
                async for sealed in batches:
                    on_bytes(sum(map(len, sealed)))
                    count = len(sealed)
                    if size_bytes <= INLINE_BYTES:
                        _take(opener, written, sealed, ref.chunk_digests, file)
                    else:
                        await asyncio.to_thread(_take, opener, written, sealed, ref.chunk_digests, file)
                    written += count
        if written != ref.count:
            raise PeerError(f"{topic}: a body ended after {written} of {ref.count} chunks")
        half.rename(target)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _create(path: Path) -> IO[bytes]:
    return path.open("wb", buffering=0)


def _take(opener: ChunkOpener, first: int, sealed: list[bytes], digests: bytes, file: IO[bytes]) -> None:
    """Open, check and write chunks `first`, `first` + 1, …; the list is empty afterwards."""
    index = first
    while sealed:
        chunk = opener.open(index, sealed.pop(0))
        if hashlib.sha256(chunk).digest() != digests[32 * index : 32 * index + 32]:
            raise PeerError(f"chunk {index} of a model has another digest than announced")
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
        index += 1


def _digest_of(path: Path) -> bytes:
    hasher = BodyHasher()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.finish()[0]
