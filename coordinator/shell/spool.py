"""Fetches one update's body: every chunk opened, checked against the signed digests and the plan's bounds.

Knows:    memory is one body (the budget bounds how many); large chunks are worked on in a thread, small ones here.
"""

import asyncio
import contextlib
import hashlib

import numpy as np

from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.services import Services
from protocol.digests import update_subject
from protocol.fixed_point import Encoding, Words, centred, check_range, examples_index, words
from protocol.sealing import ChunkOpener, open_body_box
from schemas import topics
from schemas.errors import PeerError

INLINE_BYTES_MAX = 65536  # below this a thread costs more than the work


async def fetch_body(services: Services, offer: VerifiedOffer, encoding: Encoding) -> Words:
    """The body as (d,) words, verified as a whole.

    Raises PeerError (`box`: the key box does not open; `range`; `malformed`: bytes that are not the signed ones) and
    BodyGone when a chunk is not on the log any more.
    """
    ref = offer.offer.body
    subject = update_subject(offer.offer.header)
    key = open_body_box(services.opening, ref.boxes, subject)
    body = _Body(encoding, ChunkOpener(key, subject, ref.count), ref.chunk_digests)
    async with contextlib.aclosing(services.reader.batches(topics.bodies(offer.fact.site), ref.runs)) as batches:
        async for sealed in batches:
            if encoding.body_bytes <= INLINE_BYTES_MAX:
                body.take(sealed)
            else:
                await asyncio.to_thread(body.take, sealed)
    examples = examples_index(encoding)
    if examples is not None and int(centred(body.words[examples : examples + 1])[0]) <= 0:
        raise PeerError("its example weight is not above zero", code="range")
    return body.words


class _Body:
    """A body that fills up, a few chunks at a time."""

    def __init__(self, encoding: Encoding, opener: ChunkOpener, digests: bytes) -> None:
        self.words: Words = np.empty(encoding.d, encoding.word_type)
        self._encoding = encoding
        self._opener = opener
        self._digests = digests
        self._taken = 0

    def take(self, sealed: list[bytes]) -> None:
        """Take the next chunks; the list is empty afterwards, so that no chunk is held longer than it is needed."""
        while sealed:
            self._take_one(self._taken, sealed.pop(0))
            self._taken += 1

    def _take_one(self, index: int, sealed: bytes) -> None:
        chunk = self._opener.open(index, sealed)
        if hashlib.sha256(chunk).digest() != self._digests[32 * index : 32 * index + 32]:
            raise PeerError(f"chunk {index} is not the one that was signed")
        block = words(chunk, self._encoding)
        start = index * self._encoding.block_words
        check_range(block, self._encoding, start)
        self.words[start : start + len(block)] = block
