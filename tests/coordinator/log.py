"""What a coordinator's crash leaves: the sites' offers, committed rounds and receipts."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum

from coordinator.core.bookmark import Marked
from coordinator.core.closing import OpenRequest
from coordinator.core.events import Close, Cohort, OfferFact
from coordinator.core.offers import NOWHERE
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress
from coordinator.strategies.suspicion import Suspicion
from protocol.orders import Orders
from schemas.records import Command, Outcome, Receipt, Stop

Name = tuple[str, int]  # (site, sequence)


class Body(Enum):
    """How the body of an offer turns out once it is fetched."""

    GOOD = "verified"
    GONE = "not on the broker any more, or damaged"
    OUTSIDE = "out of range"


class Ending(Enum):
    """What becomes of the next Close."""

    COMMIT = "Request and Announcement"
    FAIL = "Request and Failed"
    LATER = "it takes a while: `end_round` says when"
    DIE = "the coordinator dies before anything is written"
    ASK_AND_DIE = "the coordinator dies when the Request is on the log, and nothing else of the round"


def model_digest(version: int) -> bytes:
    return hashlib.sha256(b"model %d" % version).digest()


def is_final(outcome: int) -> bool:
    return outcome != Outcome.AGAIN


@dataclass(slots=True)
class Log:
    """What a crash leaves: topics of offers, committed rounds and receipts."""

    offers: dict[str, list[tuple[OfferFact, Body] | None]]  # None: a record of another kind
    version: int = 0
    closes: list[Close] = field(default_factory=list)
    failed: list[Cohort] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    decided: dict[Name, tuple[int, str | None]] = field(default_factory=dict)  # outcome and code
    progress: Progress = field(default_factory=Progress)
    stop: Stop = Stop.NONE
    suspicion: Suspicion = field(default_factory=Suspicion)
    commands: list[Command] = field(default_factory=list)
    bookmark: Marked | None = None
    asked: Cohort | None = None  # by a Request that nothing has ended

    @property
    def orders(self) -> Orders:
        """What the commands amount to."""
        return Orders.of(self.commands)

    @property
    def positions(self) -> dict[str, int]:
        """From where the bookmark has a successor read each site's offers."""
        return dict(self.bookmark.positions) if self.bookmark is not None else {}

    def first(self, site: str, core: StudyCore) -> int:
        """From where a successor reads them, by receipts and bookmark."""
        return max(core.next_offset(site), self.positions.get(site, 0))

    def open_request(self) -> OpenRequest | None:
        """What a successor reads of a Request that nothing has ended."""
        if self.asked is None:
            return None
        return OpenRequest(self.asked.entries, tuple(replace(one, offset=NOWHERE) for one in self.asked.offers))


def name_of(offer: OfferFact) -> Name:
    return offer.site, offer.sequence
