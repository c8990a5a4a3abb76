"""What the coordinator knows of one site in one study: what was decided, and what waits."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from coordinator.core.codes import Refusal
from coordinator.core.events import OfferFact
from schemas.records import RECENT_MAX, Decided, Outcome, Receipt


class Phase(Enum):
    """Where the site's undecided offer stands."""

    WAITING = "its floor is above what is there"
    FETCHING = "its body is on the way"
    READY = "its body is verified, not yet in the sum"
    ADDED = "it is in the sum"


@dataclass(slots=True)
class Undecided:
    """The one offer of a site that the core works on."""

    offer: OfferFact
    phase: Phase
    arrival: int
    fetch: int = 0  # the number of its newest Fetch
    weight: int = 0


class UndecidedOffers:
    """The undecided offers of all sites by phase: a fact costs the same, however many sites wait."""

    def __init__(self) -> None:
        self._in_phase: dict[Phase, dict[str, Undecided]] = {phase: {} for phase in Phase}
        self._floors: Counter[int] = Counter()

    def in_phase(self, phase: Phase) -> Mapping[str, Undecided]:
        """Site -> its undecided offer, for those in `phase`."""
        return self._in_phase[phase]

    def floors(self) -> Mapping[int, int]:
        """How many undecided offers have each floor."""
        return self._floors

    def put(self, site: "Site", offer: OfferFact, arrival: int) -> None:
        site.undecided = Undecided(offer, Phase.WAITING, arrival)
        self._in_phase[Phase.WAITING][site.name] = site.undecided
        self._floors[offer.cohort_min] += 1

    def move(self, name: str, undecided: Undecided, phase: Phase) -> None:
        del self._in_phase[undecided.phase][name]
        undecided.phase = phase
        self._in_phase[phase][name] = undecided

    def drop(self, site: "Site") -> None:
        """The site's offer is decided."""
        if site.undecided is None:
            return
        floor = site.undecided.offer.cohort_min
        del self._in_phase[site.undecided.phase][site.name]
        self._floors[floor] -= 1
        if not self._floors[floor]:
            del self._floors[floor]
        site.undecided = None


@dataclass(slots=True)
class Site:
    """A site's memory, as its newest receipt holds it, and its offers since."""

    name: str
    sequence: int = -1  # newest decided for good
    next_offset: int = 0
    recent: tuple[Decided, ...] = ()
    undecided: Undecided | None = None
    behind: deque[OfferFact] = field(default_factory=deque)
    held: bool = False
    asked_again: dict[int, int] = field(default_factory=dict)

    @classmethod
    def from_receipt(cls, receipt: Receipt) -> "Site":
        return cls(receipt.site, receipt.decided, receipt.next_offset, receipt.recent)

    def receipt(
        self,
        study: str,
        offer: OfferFact,
        outcome: Outcome,
        *,
        code: str | None = None,
        version: int | None = None,
        weight: int = 0,
    ) -> Receipt:
        """The receipt that decides `offer`, without remembering it yet."""
        decided = Decided(offer.sequence, outcome, code, version, weight)
        recent = self._recent(decided)
        offset = max(self.next_offset, offer.offset + 1)
        return Receipt(study, self.name, offer.sequence, outcome, code, version, weight, offset, recent)

    def remember(self, receipt: Receipt) -> None:
        """Take over what `receipt` says, now that it is (or is sure to be) written."""
        self.recent, self.next_offset = receipt.recent, receipt.next_offset
        if receipt.outcome != Outcome.AGAIN:
            self.sequence = max(self.sequence, receipt.sequence)
        asked = {past.sequence for past in receipt.recent if past.outcome == Outcome.AGAIN}
        self.asked_again = {sequence: times for sequence, times in self.asked_again.items() if sequence in asked}

    def _recent(self, decided: Decided) -> tuple[Decided, ...]:
        """The last outcomes, `decided` behind them. An `again` below a final outcome is answered for good.

        The newest final outcome never leaves, whatever is asked again after it: it is all that a successor has
        against counting an update twice.
        """
        final = self.sequence if decided.outcome == Outcome.AGAIN else max(self.sequence, decided.sequence)
        recent = [_overtaken_by(final, past) for past in self.recent if past.sequence != decided.sequence]
        recent.append(decided)
        if len(recent) > RECENT_MAX:
            recent.remove(next(past for past in recent if past.sequence != final))
        return tuple(recent)


def _overtaken_by(final: int, past: Decided) -> Decided:
    if past.outcome != Outcome.AGAIN or past.sequence > final:
        return past
    return Decided(past.sequence, Outcome.REFUSED, Refusal.DUPLICATE.value, None, 0)
