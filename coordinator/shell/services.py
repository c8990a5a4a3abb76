"""What the coordinator's studies share: connections, keys, the registrar's directory, a folder, metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coordinator.shell.metrics import CoordinatorMetrics
from protocol.directory import Directory
from protocol.fixed_point import Encoding, Words
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.roster import Membership
from transport.admin import Admin
from transport.bodies import BodyReader, BodyWriter
from transport.link import Link
from transport.settings import KafkaSettings
from transport.transactions import TransactionalWriter
from transport.writer import Writer

SPOOL_BYTES_LEAST = 8 * 1024 * 1024
INLINE_BYTES_MAX = 65536  # below this a thread costs more than the work


class Spool:
    """Memory for bodies: one of any size, or several small ones. A large one is kept for the next of its kind."""

    def __init__(self, bytes_max: int) -> None:
        self._max = bytes_max
        self._used = 0
        self._freed = asyncio.Condition()
        self._kept: Words | None = None

    async def take(self, encoding: Encoding) -> Words:
        """Wait until a body fits, or nothing else is held; its words (d,) hold anything."""
        size_bytes = encoding.body_bytes
        async with self._freed:
            await self._freed.wait_for(lambda: self._used == 0 or self._used + size_bytes <= self._max)
            self._used += size_bytes
        kept, self._kept = self._kept, None
        if kept is not None and (len(kept), kept.dtype) == (encoding.d, encoding.word_type):
            return kept
        return np.empty(encoding.d, encoding.word_type)

    async def give_back(self, words: Words, *, reusable: bool) -> None:
        """Free the memory of a body; fresh pages from the kernel would cost more than adding it did.

        reusable   False when a thread of a fetch that was cut short may still write into `words`
        """
        if reusable and words.nbytes > INLINE_BYTES_MAX:
            self._kept = words
        async with self._freed:
            self._used -= words.nbytes
            self._freed.notify_all()


@dataclass(frozen=True, slots=True)
class Services:
    """One set for the process, and for each lead partition the same with its transactional writer."""

    name: str
    folder: Path
    kafka: KafkaSettings
    link: Link
    signing: SigningKey
    opening: OpenKey
    directory: Directory
    writer: Writer
    bodies: BodyWriter
    reader: BodyReader
    admin: Admin
    metrics: CoordinatorMetrics
    spool: Spool = field(default_factory=lambda: Spool(SPOOL_BYTES_LEAST))
    led_by: TransactionalWriter | None = None  # of the lead partition whose studies this set is for

    @property
    def transactions(self) -> TransactionalWriter:
        """The writer behind the fence; there is one wherever a study runs."""
        assert self.led_by is not None
        return self.led_by

    @property
    def membership(self) -> Membership:
        """The newest membership; there is one before any study runs."""
        assert self.directory.membership is not None
        return self.directory.membership


def now_ms() -> int:
    """The leader's monotonic clock: deadlines run on it and may only delay."""
    return time.monotonic_ns() // 1_000_000


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
