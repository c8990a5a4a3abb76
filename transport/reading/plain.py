"""Bodies as readers want them: fetched, opened, and every chunk the one that is listed.

Never:    hands on a chunk that another digest names, or keeps one: memory stays at what BodyReader holds.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from protocol.digests import body_digest
from protocol.sealing import ChunkOpener
from schemas.errors import PeerError
from schemas.records import CHUNK_BYTES, BodyAt, BodyRef
from transport.ports import Fetches


def check_listed(topic: str, at: BodyAt) -> None:
    """Raises PeerError unless the body's digest is that of the chunk digests it is listed with."""
    if body_digest(at.body.chunk_digests) != at.digest:
        raise PeerError(f"a body on {topic} is listed with chunk digests that are not its own")


async def plain_chunks(
    reader: Fetches, topic: str, body: BodyRef, opener: ChunkOpener | None
) -> AsyncGenerator[tuple[int, bytes], None]:
    """(index, plain chunk) of a body in order; `opener` is None where a body lies open.

    What was changed on the way is fetched again, so that a bad link is never taken for a log that cannot be trusted.
    Raises PeerError for a chunk that is not the one listed, BodyGone as BodyReader.chunks does. Whether the list itself
    is the right one the caller knows: see `check_listed`.
    """
    index = 0
    async with aclosing(reader.chunks(topic, body.runs, checked=True)) as chunks:
        async for sealed in chunks:
            chunk = opener.open(index, sealed) if opener else sealed
            size_bytes = min(CHUNK_BYTES, body.size_bytes - index * CHUNK_BYTES)
            wanted = body.chunk_digests[32 * index : 32 * index + 32]
            if len(chunk) != size_bytes or hashlib.sha256(chunk).digest() != wanted:
                raise PeerError(f"chunk {index} on {topic} is not the one that is listed")
            yield index, chunk
            index += 1


async def whole_body(reader: Fetches, topic: str, at: BodyAt, opener: ChunkOpener | None) -> bytearray:
    """A body in memory, its digest checked. Raises PeerError, BodyGone."""
    check_listed(topic, at)
    whole = bytearray()
    async for _, chunk in plain_chunks(reader, topic, at.body, opener):
        whole += chunk
    return whole
