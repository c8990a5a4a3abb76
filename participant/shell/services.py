"""What the studies of one participant share: connections, keys, site.db, the trainer, the gate."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from participant.core.place import Place
from participant.core.space import OutboxSpace
from participant.shell.gate import Gate
from participant.shell.metrics import ParticipantMetrics
from participant.shell.store import Store
from participant.shell.strangers import Strangers
from participant.training.client import Trainer
from protocol.directory import Directory
from protocol.rings import OpenRing, SignRing
from protocol.signing import SigningKey
from transport.bodies import BodyReader, BodyWriter
from transport.staying.link import Link
from transport.writing.writer import Writer


@dataclass(frozen=True, slots=True)
class Services:
    """One set for the process; each study has a runner of its own over it."""

    name: str
    folder: Path
    link: Link
    signing: SignRing
    opening: OpenRing
    directory: Directory
    writer: Writer
    bodies: BodyWriter
    reader: BodyReader
    store: Store
    space: OutboxSpace
    gate: Gate
    trainer: Trainer
    metrics: ParticipantMetrics
    strangers: Strangers
    stopping: threading.Event  # set when the service ends: what runs in a thread ends soon
    spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]  # an error in it ends the service

    @property
    def place(self) -> Place:
        """This site as the roster has to know it."""
        return Place(self.name, self.signing.key_ids, self.opening.key_ids)

    @property
    def signer(self) -> SigningKey:
        """The key that signs now, by the newest roster. Raises LocalError when every one is revoked."""
        return self.signing.signer(self.name, self.directory.membership)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"


def now_ms() -> int:
    """Milliseconds of a clock that never falls; for pauses alone."""
    return time.monotonic_ns() // 1_000_000
