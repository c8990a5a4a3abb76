"""Which offers of a study wait to be counted, and which are refused: one of a site at a time, as they lie on its topic.

Knows:    what was decided of each site, its one undecided offer and its phase, and those behind it. Nobody else moves
          an offer from one phase to another.
Never:    chooses a cohort, closes a round, holds a vector.
Source:   receipts and positions: docs/decisions/0004 and 0012.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from coordinator.core.codes import Refusal
from coordinator.core.events import (
    Add,
    BodyReady,
    BodyUnusable,
    Decide,
    Drop,
    Effect,
    Fetch,
    Hold,
    Ignored,
    OfferFact,
    Release,
    Remove,
    Unload,
)
from coordinator.core.judge import Judge
from coordinator.core.site import Phase, Site, Undecided, UndecidedOffers
from schemas.records import Outcome, Receipt

BEHIND_MAX = 8
ASK_AGAIN_MAX = 2
NOWHERE = -1  # the offset of an offer whose topic is gone, or that was read from a cohort's body


class Offers:
    """The offers of all sites. What a method returns has to be done in order."""

    def __init__(self, study: str, judge: Judge, receipts: Iterable[Receipt]) -> None:
        self._study, self._judge = study, judge
        self._undecided = UndecidedOffers()
        self._sites = {receipt.site: Site.from_receipt(receipt) for receipt in receipts}
        self._arrivals = self._fetches = 0

    def site(self, name: str) -> Site:
        """What is known of a site; nothing yet, of one that was never heard."""
        return self._sites.setdefault(name, Site(name))

    def in_phase(self, phase: Phase) -> Mapping[str, Undecided]:
        """Site -> its undecided offer, for those in `phase`."""
        return self._undecided.in_phase(phase)

    def floors(self) -> Mapping[int, int]:
        """How many undecided offers have each floor."""
        return self._undecided.floors()

    def unread_from(self, name: str, heard: int) -> int:
        """From where a successor has to read a site's offers, everything before `heard` having been taken here."""
        site = self.site(name)
        waiting = [*([site.undecided.offer] if site.undecided is not None else []), *site.behind]
        return min((heard, *(offer.offset for offer in waiting if offer.offset > NOWHERE)))

    def awaits(self, event: BodyReady | BodyUnusable) -> bool:
        """Whether this answers a fetch that was not given up."""
        return self._fetched(event) is not None

    # -- on the way into the sum

    def asked(self, offer: OfferFact) -> None:
        """An open Request names it: it waits, whatever it would be judged by now."""
        self._wait(self.site(offer.site), offer)

    def enter(self, name: str) -> Fetch:
        """What waits enters the round: its body is fetched."""
        undecided = self._of(name, Phase.WAITING)
        self._fetches += 1
        undecided.fetch = self._fetches
        self._undecided.move(name, undecided, Phase.FETCHING)
        return Fetch(undecided.offer, undecided.fetch)

    def add(self, name: str, weight: int) -> Add:
        """What is fetched goes into the sum."""
        undecided = self._of(name, Phase.READY)
        undecided.weight = weight
        self._undecided.move(name, undecided, Phase.ADDED)
        return Add(undecided.offer, weight)

    def put_back(self, name: str) -> Remove:
        """What is in the sum waits again."""
        undecided = self._of(name, Phase.ADDED)
        self._undecided.move(name, undecided, Phase.WAITING)
        return Remove(undecided.offer, undecided.weight)

    def _of(self, name: str, phase: Phase) -> Undecided:
        undecided = self.site(name).undecided
        assert undecided is not None
        assert undecided.phase is phase
        return undecided

    def _wait(self, site: Site, offer: OfferFact) -> None:
        self._arrivals += 1
        self._undecided.put(site, offer, self._arrivals)

    # -- facts

    def take(self, offer: OfferFact) -> list[Effect]:
        """Take one verified offer: it waits, is refused, or comes behind the one that waits already."""
        site = self.site(offer.site)
        if NOWHERE < offer.offset < site.next_offset or offer.sequence <= site.sequence:
            return [Ignored(offer)]
        if site.undecided is not None:
            return self._behind(site, offer)
        return self._take_fresh(site, offer)

    def anew(self, name: str) -> None:
        """The site's topic begins at 0 again: what waits of the old one has no place there."""
        site = self.site(name)
        site.next_offset = 0
        if site.undecided is not None:
            site.undecided.offer = replace(site.undecided.offer, offset=NOWHERE)
        site.behind = deque(replace(offer, offset=NOWHERE) for offer in site.behind)

    def body_ready(self, event: BodyReady) -> list[Effect]:
        """Note that a body may go into the sum."""
        undecided = self._fetched(event)
        if undecided is not None:
            self._undecided.move(event.site, undecided, Phase.READY)
        return []

    def body_unusable(self, event: BodyUnusable) -> list[Effect]:
        """Refuse an offer by its body, or ask for the body again: so many times, then it is refused as malformed."""
        undecided = self._fetched(event)
        if undecided is None:
            return []
        site, offer = self.site(event.site), undecided.offer
        if event.code is not None:
            return self._refuse_waiting(site, offer, event.code)
        asked = site.asked_again.get(offer.sequence, 0)
        if asked >= ASK_AGAIN_MAX:
            return self._refuse_waiting(site, offer, Refusal.MALFORMED)
        site.asked_again[offer.sequence] = asked + 1
        receipt = site.receipt(self._study, offer, Outcome.AGAIN)
        return [Drop(offer), *self._decide(site, receipt, None), *self._next_behind(site)]

    # -- what follows

    def settle(self, receipts: Iterable[Receipt]) -> list[Effect]:
        """Take over receipts that are written; then those behind are looked at."""
        effects: list[Effect] = []
        for receipt in receipts:
            site = self.site(receipt.site)
            site.remember(receipt)
            self._undecided.drop(site)
        for receipt in receipts:
            effects += self._next_behind(self.site(receipt.site))
        return effects

    def too_late(self) -> list[Effect]:
        """Waiting offers age with every version; those past the table's end, or past the study's, are refused."""
        effects: list[Effect] = []
        for _, site in sorted(self._sites.items()):
            while site.undecided is not None:
                code = self._judge.too_late(site.undecided.offer)
                if code is None:
                    break
                effects += self._refuse_waiting(site, site.undecided.offer, code)
        return effects

    def without_barred(self) -> list[Effect]:
        """Who left, or was excluded, is out of this round too."""
        effects: list[Effect] = []
        for name, site in sorted(self._sites.items()):
            code = self._judge.barred(name)
            if code is not None and site.undecided is not None:
                if site.undecided.phase is Phase.ADDED:
                    effects.append(Remove(site.undecided.offer, site.undecided.weight))
                effects += self._refuse_waiting(site, site.undecided.offer, code)
        return effects

    def unload(self) -> list[Effect]:
        """Give back the memory for bodies, which other studies share; what is in the sum stays there."""
        effects: list[Effect] = []
        for _, site in sorted(self._sites.items()):
            if site.undecided is not None and site.undecided.phase in (Phase.FETCHING, Phase.READY):
                self._undecided.move(site.name, site.undecided, Phase.WAITING)
                effects.append(Unload(site.undecided.offer))
        return effects

    def _behind(self, site: Site, offer: OfferFact) -> list[Effect]:
        assert site.undecided is not None
        known = [site.undecided.offer, *site.behind]
        if any(offer.sequence == earlier.sequence for earlier in known):
            return [Ignored(offer)]
        site.behind.append(offer)
        if len(site.behind) >= BEHIND_MAX and not site.held:
            site.held = True
            return [Hold(site.name)]
        return []

    def _take_fresh(self, site: Site, offer: OfferFact) -> list[Effect]:
        code = self._judge.refusal(offer)
        if code is not None:
            return self._refuse(site, offer, code)
        self._wait(site, offer)
        return []

    def _refuse(self, site: Site, offer: OfferFact, code: str) -> list[Effect]:
        receipt = site.receipt(self._study, offer, Outcome.REFUSED, code=str(code))
        return [Drop(offer), *self._decide(site, receipt, offer)]

    def _decide(self, site: Site, receipt: Receipt, offer: OfferFact | None) -> list[Effect]:
        site.remember(receipt)
        self._undecided.drop(site)
        return [Decide(receipt, offer)]

    def _refuse_waiting(self, site: Site, offer: OfferFact, code: str) -> list[Effect]:
        return [*self._refuse(site, offer, code), *self._next_behind(site)]

    def _next_behind(self, site: Site) -> list[Effect]:
        effects: list[Effect] = []
        while site.behind and site.undecided is None:
            effects += self.take(site.behind.popleft())
        if site.held and len(site.behind) < BEHIND_MAX // 2:
            site.held = False
            effects.append(Release(site.name))
        return effects

    def _fetched(self, event: BodyReady | BodyUnusable) -> Undecided | None:
        """The offer whose fetch this answers; None when that fetch was given up, another one begun since or not."""
        undecided = self.site(event.site).undecided
        if undecided is None or undecided.phase is not Phase.FETCHING:
            return None
        asked = (undecided.offer.sequence, undecided.fetch)
        return undecided if asked == (event.sequence, event.fetch) else None
