"""What lies on the simulated topics: the records of the wire where a core reads them, and stand-ins for the rest.

Knows:    who signed a record, and whether its bytes are still those that were signed; shells look at both.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coordinator.core.events import Evaluated, OfferFact
from schemas.records import Request, RequestEntry
from simulation.roster import FIRST_KEY

BOOKMARK_KEY = "study"
Floats = NDArray[np.float32]
Words = NDArray[np.uint32]
Name = tuple[str, int]  # (site, sequence)


@dataclass(frozen=True, slots=True)
class Body:
    """An update on `wardround.bodies.<site>`; `words` where the history really learns. Out of range it is of no use."""

    site: str
    sequence: int
    in_range: bool = True
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A version, with the optimiser's state; `vector` where the history really learns, `moments` where it does not.

    On `models` it lies without the state, which has a record of its own there.
    """

    version: int
    digest: bytes
    vector: Floats | None = None
    state: tuple[Floats, ...] = ()
    moments: bytes = b""  # names the state of a server step that has one

    @property
    def bare(self) -> "Model":
        """The same without the optimiser's state."""
        if not (self.state or self.moments):
            return self
        return replace(self, state=(), moments=b"")


@dataclass(frozen=True, slots=True)
class State:
    """The optimiser's state beside a version, on `models`."""

    version: int
    state: tuple[Floats, ...]
    moments: bytes


@dataclass(frozen=True, slots=True)
class SentOffer:
    """An Offer on `wardround.offers.<site>`; `body` is where its body lies, `fact` what the coordinator reads in it."""

    fact: OfferFact
    body: int
    signer: str
    intact: bool = True
    key: int = FIRST_KEY


@dataclass(frozen=True, slots=True)
class SentEvaluation:
    """An Evaluation on `wardround.offers.<site>`."""

    fact: Evaluated
    signer: str
    intact: bool = True
    key: int = FIRST_KEY


@dataclass(frozen=True, slots=True)
class Other:
    """Any other record there, such as a Presence; `readable` False: bytes that are no record at all."""

    readable: bool = True


@dataclass(frozen=True, slots=True)
class Given:
    """The key of an epoch, sealed to one member, on `keys`."""

    epoch: int
    member: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Strange:
    """A record on a topic of the coordinator that no coordinator signed."""


OfferTopicRecord = SentOffer | SentEvaluation | Other


@dataclass(frozen=True, slots=True)
class Chosen:
    """A Request on `rounds`, with its entries by site, so that a thousand readers need not search it."""

    record: Request
    by_site: Mapping[str, RequestEntry]

    @classmethod
    def of(cls, record: Request) -> "Chosen":
        return cls(record, {one.site: one for one in record.entries})


def header(site: str, sequence: int, update: str) -> bytes:
    """SHA-256 of a header: each update has its own."""
    return hashlib.sha256(f"{site}/{sequence} {update}".encode()).digest()
