"""What the coordinator's studies share: connections, keys, the registrar's directory, a folder, metrics."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.strangers import Strangers
from protocol.directory import Directory
from protocol.fixed_point import Encoding, Words
from protocol.rings import OpenRing, SignRing
from protocol.signing import SigningKey
from protocol.written import is_signed_with
from schemas.errors import LocalError, PeerError
from schemas.roster import Membership
from transport.ports import Administers, Commits, Fetches, Opens, Sends, Uploads, Waits

SPOOL_BYTES_LEAST = 8 * 1024 * 1024
INLINE_BYTES_MAX = 65536  # below this a thread costs more than the work


class Spool:
    """Memory for bodies: one of any size, or several small ones; who waits longest is next.

    A large one is kept for the next of its kind.
    """

    def __init__(self, bytes_max: int) -> None:
        self._max = bytes_max
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._kept: Words | None = None

    async def take(self, encoding: Encoding) -> Words:
        """Wait until a body fits, or nothing else is held; its words (d,) hold anything."""
        await self._admitted(encoding.body_bytes)
        kept, self._kept = self._kept, None
        if kept is not None and (len(kept), kept.dtype) == (encoding.d, encoding.word_type):
            return kept
        return np.empty(encoding.d, encoding.word_type)

    def give_back(self, words: Words, *, reusable: bool) -> None:
        """Free the memory of a body; fresh pages from the kernel would cost more than adding it did.

        reusable   False when a thread of a fetch that was cut short may still write into `words`
        """
        if reusable and words.nbytes > INLINE_BYTES_MAX:
            self._kept = words
        self._free(words.nbytes)

    async def _admitted(self, size_bytes: int) -> None:
        if not self._waiting and self._fits(size_bytes):
            self._used += size_bytes
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._free(size_bytes)
            raise

    def _free(self, size_bytes: int) -> None:
        """Only those are woken who may go on: a thousand may wait."""
        self._used -= size_bytes
        while self._waiting and (self._waiting[0][1].done() or self._fits(self._waiting[0][0])):
            wanted, granted = self._waiting.popleft()
            if not granted.done():
                self._used += wanted
                granted.set_result(None)

    def _fits(self, size_bytes: int) -> bool:
        return self._used == 0 or self._used + size_bytes <= self._max


@dataclass(frozen=True, slots=True)
class Services:
    """One set for the process, and for each lead partition the same with its transactional writer."""

    name: str
    folder: Path
    connection: Opens
    link: Waits
    signing: SignRing
    opening: OpenRing
    directory: Directory
    writer: Sends
    bodies: Uploads
    reader: Fetches
    admin: Administers
    metrics: CoordinatorMetrics
    strangers: Strangers
    spool: Spool = field(default_factory=lambda: Spool(SPOOL_BYTES_LEAST))
    led_by: Commits | None = None  # of the lead partition whose studies this set is for

    @property
    def transactions(self) -> Commits:
        """The writer behind the fence; there is one wherever a study runs."""
        assert self.led_by is not None
        return self.led_by

    @property
    def signer(self) -> SigningKey:
        """The key that signs now, by the newest roster. Raises LocalError when every one is revoked."""
        return self.signing.signer(self.name, self.directory.membership)

    @property
    def membership(self) -> Membership:
        """The newest membership; there is one before any study runs."""
        assert self.directory.membership is not None
        return self.directory.membership


def refuse_own(services: Services, value: bytes | None, error: PeerError) -> None:
    """Raise LocalError for what this coordinator itself signed with a key that the roster does not list yet.

    A process of it that had read a later roster did: to pass it over would be to write another record in its place.
    """
    if error.code == "stranger" and is_signed_with(value, services.signing):
        raise LocalError(
            "the log holds a record under a new key of this coordinator, and this process has not read the roster that "
            "lists it yet",
            hint="it is tried again; if that does not help, let the registrar publish this coordinator's card",
        )


def now_ms() -> int:
    """The leader's monotonic clock, the event loop's: deadlines run on it and may only delay."""
    return int(asyncio.get_running_loop().time() * 1000)


@asynccontextmanager
async def closing(services: Services) -> AsyncIterator[Services]:
    """The services, closed at the end, each within its own bound."""
    try:
        yield services
    finally:
        await asyncio.gather(
            services.reader.close(),
            services.bodies.close(),
            services.writer.close(),
            services.admin.close(),
            return_exceptions=True,
        )
