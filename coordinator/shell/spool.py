"""Fetches one update's body: every chunk opened, checked against the signed digests and the plan's bounds.

Knows:    the words are the caller's, the spool bounds how many; a large body is worked on in a thread.
"""

import asyncio
import contextlib
import hashlib

from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.services import INLINE_BYTES_MAX, Services
from protocol.digests import update_subject
from protocol.fixed_point import Encoding, Words, centred, check_range, examples_index, words
from protocol.sealing import ChunkOpener, open_body_box
from schemas import topics
from schemas.errors import PeerError


async def fetch_body(services: Services, offer: VerifiedOffer, encoding: Encoding, into: Words) -> None:
    """Fill `into`, (d,), with the words of the body, verified as a whole.

    A chunk that does not open may have been changed on its way here: the body is fetched once more then, compared with
    Kafka's checksums, and what is still wrong is what its site has sent.
    Raises PeerError (`box`: the key box does not open; `range`; `malformed`: bytes that are not the signed ones) and
    BodyGone when a chunk is not on the log any more.
    """
    try:
        await _fill(services, offer, encoding, into, checked=False)
    except PeerError as error:
        if error.code != "malformed":
            raise
        await _fill(services, offer, encoding, into, checked=True)


async def _fill(services: Services, offer: VerifiedOffer, encoding: Encoding, into: Words, *, checked: bool) -> None:
    ref = offer.offer.body
    subject = update_subject(offer.offer.header)
    key = open_body_box(services.opening, ref.boxes, subject)
    body = _Body(encoding, ChunkOpener(key, subject, ref.count), ref.chunk_digests, into)
    topic = topics.bodies(offer.fact.site)
    async with contextlib.aclosing(services.reader.batches(topic, ref.runs, checked=checked)) as batches:
        async for sealed in batches:
            if encoding.body_bytes <= INLINE_BYTES_MAX:
                body.take(sealed)
            else:
                await asyncio.to_thread(body.take, sealed)
    examples = examples_index(encoding)
    if examples is not None and int(centred(into[examples : examples + 1])[0]) <= 0:
        raise PeerError("its example weight is not above zero", code="range")


class _Body:
    """A body that fills up, a few chunks at a time."""

    def __init__(self, encoding: Encoding, opener: ChunkOpener, digests: bytes, into: Words) -> None:
        self._words = into
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
        place = self._words[start : start + self._encoding.block_words]
        if len(block) != len(place):
            raise PeerError(f"chunk {index} holds {len(block)} words instead of {len(place)}")
        check_range(block, self._encoding, start)
        place[:] = block
