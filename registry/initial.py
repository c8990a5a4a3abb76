"""Version 0 on its way to the log: checked against the plan, sealed to the coordinator, sent chunk by chunk.

Knows:    the body is float32 little-endian, p of them; memory stays at a few chunks for any size.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from protocol.digests import BodyHasher, chunk_count, initial_subject
from protocol.sealing import ChunkSealer, body_box, new_body_key
from schemas import topics
from schemas.errors import LocalError, TransientError
from schemas.plan import Plan
from schemas.records import CHUNK_BYTES, BodyRef
from schemas.roster import Membership
from transport.bodies import BodyWriter, Runs

STALL_S = 60.0  # a chunk may take that long on a slow line
Progress = Callable[[int, int], None]  # chunks sent, chunks in all


class _Chunks:
    """Plain chunks of version 0 by index, from memory or a file that stays open meanwhile."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source

    def __enter__(self) -> Self:
        self._file = self._source.open("rb") if isinstance(self._source, Path) else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, index: int) -> bytes:
        start = index * CHUNK_BYTES
        if self._file is not None:
            return os.pread(self._file.fileno(), CHUNK_BYTES, start)
        assert isinstance(self._source, bytes)
        return self._source[start : start + CHUNK_BYTES]


def check_initial(plan: Plan, initial: Path | bytes) -> bytes:
    """Chunk digests of version 0. Raises LocalError unless size and digest are the plan's."""
    where = str(initial) if isinstance(initial, Path) else "version 0"
    hasher, size = BodyHasher(), 0
    try:
        with _Chunks(initial) as chunks:
            while piece := chunks.read(size // CHUNK_BYTES):
                hasher.update(piece)
                size += len(piece)
                if len(piece) < CHUNK_BYTES:
                    break
    except OSError as error:
        raise LocalError(f"version 0 cannot be read: {where}: {error.strerror}") from None
    digest, chunk_digests = hasher.finish()
    if size != 4 * plan.parameters or digest != plan.initial:
        raise LocalError(
            f"{where} is not the version 0 of this plan: {size} bytes, digest {digest.hex()[:16]}…; the plan names "
            f"{4 * plan.parameters} bytes, {plan.initial.hex()[:16]}…",
            hint="use the .initial file that `wardround plan sign` wrote beside this plan",
        )
    return chunk_digests


async def upload_initial(
    plan: Plan,
    initial: Path | bytes,
    chunk_digests: bytes,
    membership: Membership,
    writer: BodyWriter,
    progress: Progress,
) -> BodyRef:
    """Seal version 0 to the coordinator and send it. Raises TransientError when no chunk gets through for a minute."""
    size_bytes, subject, body_key = 4 * plan.parameters, initial_subject(plan.study), new_body_key()
    count, sent = chunk_count(size_bytes), 0
    name = membership.coordinator
    reader = membership.opening_key(name)
    sealer = ChunkSealer(body_key, subject, count)

    def on_acked(_index: int, _offset: int) -> None:
        nonlocal sent
        sent += 1
        progress(sent, count)

    with _Chunks(initial) as chunks:
        upload = writer.upload(
            topics.REGISTRAR_BODIES, count, lambda index: sealer.seal(index, chunks.read(index)), on_acked=on_acked
        )
        runs = await _while_moving(asyncio.ensure_future(upload), lambda: sent)
    box = body_box(reader.public, name, reader.key_id, subject, body_key)
    return BodyRef(partition=0, size_bytes=size_bytes, runs=runs, chunk_digests=chunk_digests, boxes=(box,))


async def _while_moving(upload: "asyncio.Future[Runs]", sent: Callable[[], int]) -> Runs:
    try:
        while not upload.done():
            before = sent()
            await asyncio.wait({upload}, timeout=STALL_S)
            if not upload.done() and sent() == before:
                raise TransientError(f"version 0 is not getting through: {before} chunks sent; run the command again")
        return upload.result()
    finally:
        upload.cancel()
