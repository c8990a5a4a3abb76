"""A model version from the log into a file: opened and checked chunk by chunk, in a few chunks of memory.

Knows:    what an interrupted fetch left is checked against the announced digests, and gone on with.
Never:    leaves a file under the final name that is not the announced model.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from protocol.digests import BodyHasher, body_digest
from protocol.sealing import ChunkOpener
from schemas.errors import PeerError
from schemas.records import CHUNK_BYTES, BodyAt
from transport.bodies import BodyReader

P = ParamSpec("P")
T = TypeVar("T")
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
    Raises PeerError when digest or size are not as announced, BodyGone, and OSError when there is no space; whatever
    ends it, whole chunks that are as announced stay in `partial(target)` for the next try.
    """
    ref = model.body
    if ref.size_bytes != size_bytes or body_digest(ref.chunk_digests) != model.digest:
        raise PeerError(f"{topic}: the announced body is no model of this plan")
    stop = threading.Event()
    if target.exists() and await _whole(stop, _digest_of, target, stop) == model.digest:
        return
    half = partial(target)
    with _open(half) as file:
        done = await _whole(stop, _verified, file, ref.chunk_digests, stop) if half.stat().st_size else 0
        opener = ChunkOpener(body_key, subject, ref.count)
        async with contextlib.aclosing(reader.batches(topic, _without(ref.runs, done))) as batches:
            async for sealed in batches:
                on_bytes(sum(map(len, sealed)))
                count = len(sealed)
                if size_bytes <= INLINE_BYTES:
                    _take(opener, done, sealed, ref.chunk_digests, file)
                else:
                    await _whole(stop, _take, opener, done, sealed, ref.chunk_digests, file)
                done += count
    if done != ref.count:
        raise PeerError(f"{topic}: a body ended after {done} of {ref.count} chunks")
    half.rename(target)


def partial(target: Path) -> Path:
    """Where a model lies while it is fetched: whole chunks from its beginning, each as announced."""
    return target.with_suffix(".half")


async def _whole(stop: threading.Event, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As asyncio.to_thread; who is cancelled meanwhile sets `stop` and waits: the thread still has the file in hand."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({running})
        raise


def _open(path: Path) -> IO[bytes]:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)


def _verified(file: IO[bytes], digests: bytes, stop: threading.Event) -> int:
    """How many whole chunks at the beginning of an interrupted fetch are as announced; the rest is cut off.

    What was written is not trusted: the power may have failed, and a version may have been announced anew.
    """
    file.seek(0)
    done, size_bytes = 0, 0
    while 32 * done < len(digests) and (piece := file.read(CHUNK_BYTES)):
        if stop.is_set():
            return done  # nobody wants to know any more
        if hashlib.sha256(piece).digest() != digests[32 * done : 32 * done + 32]:
            break
        done, size_bytes = done + 1, size_bytes + len(piece)
    file.truncate(size_bytes)
    return done


def _without(runs: Sequence[tuple[int, int]], done: int) -> list[tuple[int, int]]:
    """`runs` without their first `done` chunks: (7, 3), (20, 2) without 4 -> (21, 1)."""
    left: list[tuple[int, int]] = []
    for first, count in runs:
        skipped = min(done, count)
        done -= skipped
        if skipped < count:
            left.append((first + skipped, count - skipped))
    return left


def _take(opener: ChunkOpener, first: int, sealed: list[bytes], digests: bytes, file: IO[bytes]) -> None:
    """Open, check and write chunks `first`, `first` + 1, …, each in its place; the list is empty afterwards.

    In its place, since a thread of a fetch that was given up may still have a chunk in hand when the next one begins.
    """
    index = first
    while sealed:
        chunk = opener.open(index, sealed.pop(0))
        if hashlib.sha256(chunk).digest() != digests[32 * index : 32 * index + 32]:
            raise PeerError(f"chunk {index} of a model has another digest than announced")
        view, place = memoryview(chunk), index * CHUNK_BYTES
        while view:
            written = os.pwrite(file.fileno(), view, place)
            view, place = view[written:], place + written
        index += 1


def _digest_of(path: Path, stop: threading.Event) -> bytes:
    hasher = BodyHasher()
    with path.open("rb") as file:
        while (piece := file.read(1 << 20)) and not stop.is_set():
            hasher.update(piece)
    return hasher.finish()[0]
