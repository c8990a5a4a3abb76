"""Which offers of a study wait to be counted, and which are refused: one of a site at a time, as they lie on its topic.

Knows:    what was decided of each site, its one undecided offer, those behind it, and by what an offer is judged.
Never:    chooses a cohort, closes a round, holds a vector.
Imports:  stdlib, schemas.   Used by: coordinator.core.study, tests.
Source:   receipts and positions: the design, section 4.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from coordinator.core.events import (
    BodyReady,
    BodyUnusable,
    Decide,
    Drop,
    Effect,
    Hold,
    Ignored,
    OfferFact,
    Release,
    Remove,
    Unload,
)
from coordinator.core.judge import refusal
from coordinator.core.site import Phase, Site, Undecided, UndecidedOffers
from schemas.plan import Plan
from schemas.records import Outcome, Receipt

BEHIND_MAX = 8
ASK_AGAIN_MAX = 2
NOWHERE = -1  # the offset of an offer whose topic is gone


class Offers:
    """The offers of all sites. What a method returns has to be done in order."""

    def __init__(
        self, plan: Plan, *, version: int, models: Mapping[int, bytes], receipts: Iterable[Receipt], final: bool
    ) -> None:
        """`models`: model digest by version, at least those the plan's table reaches back to."""
        self.version = version
        self.final = final
        self.members: frozenset[str] = frozenset()  # by the roster as it is now
        self.excluded: frozenset[str] = frozenset()  # by the operator's orders
        self.undecided = UndecidedOffers()
        self._plan, self._digest = plan, plan.digest
        self._models = dict(models)
        self._sites = {receipt.site: Site.from_receipt(receipt) for receipt in receipts}
        self._arrivals = 0

    def site(self, name: str) -> Site:
        """What is known of a site; nothing yet, of one that was never heard."""
        return self._sites.setdefault(name, Site(name))

    def unread_from(self, name: str, heard: int) -> int:
        """From where a successor has to read a site's offers, everything before `heard` having been taken here."""
        site = self.site(name)
        waiting = [*([site.undecided.offer] if site.undecided is not None else []), *site.behind]
        return min((heard, *(offer.offset for offer in waiting if offer.offset > NOWHERE)))

    def believes(self, name: str) -> bool:
        """Whether what this site says counts in the study now."""
        return name in self.members and name not in self.excluded

    def is_newest(self, version: int, model: bytes) -> bool:
        """Whether `model` is the digest of the newest version."""
        return version == self.version and model == self._models[version]

    # -- facts

    def take(self, offer: OfferFact) -> list[Effect]:
        """Take one verified offer: it waits, is refused, or comes behind the one that waits already."""
        site = self.site(offer.site)
        if NOWHERE < offer.offset < site.next_offset or offer.sequence <= site.sequence:
            return [Ignored(offer)]
        if site.undecided is not None:
            return self._behind(site, offer)
        return self._judge(site, offer)

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
            self.undecided.move(event.site, undecided, Phase.READY)
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
            return self._refuse_waiting(site, offer, "malformed")
        site.asked_again[offer.sequence] = asked + 1
        receipt = site.receipt(self._plan.study, offer, Outcome.AGAIN)
        return [Drop(offer), *self._decide(site, receipt, None), *self._next_behind(site)]

    def rise(self, version: int, model: bytes, *, final: bool) -> None:
        """From now on offers are judged against `version`. Who waits is looked at by `too_late`."""
        self.version, self.final = version, final
        self._models[version] = model
        self._models.pop(version - self._plan.aggregation.staleness_max - 1, None)

    # -- what follows

    def settle(self, receipts: Iterable[Receipt]) -> list[Effect]:
        """Take over receipts that are written; then those behind are looked at."""
        effects: list[Effect] = []
        for receipt in receipts:
            site = self.site(receipt.site)
            site.remember(receipt)
            self.undecided.drop(site)
        for receipt in receipts:
            effects += self._next_behind(self.site(receipt.site))
        return effects

    def too_late(self) -> list[Effect]:
        """Waiting offers age with every version; those past the table's end, or past the study's, are refused."""
        effects: list[Effect] = []
        for _, site in sorted(self._sites.items()):
            while site.undecided is not None:
                offer = site.undecided.offer
                stale = self._plan.weight(self.version - offer.base_version) is None
                if not (stale or self.final):
                    break
                effects += self._refuse_waiting(site, offer, "stale" if stale else "final")
        return effects

    def without_barred(self) -> list[Effect]:
        """Who left, or was excluded, is out of this round too."""
        effects: list[Effect] = []
        for name, site in sorted(self._sites.items()):
            code = "revoked" if name not in self.members else "excluded" if name in self.excluded else None
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
                self.undecided.move(site.name, site.undecided, Phase.WAITING)
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

    def _judge(self, site: Site, offer: OfferFact) -> list[Effect]:
        code = refusal(offer, self._plan, self._digest, version=self.version, models=self._models)
        if code is None and offer.site not in self.members:
            code = "stranger"
        if code is None and offer.site in self.excluded:
            code = "excluded"
        if code is None and self.final:
            code = "final"
        if code is not None:
            return self._refuse(site, offer, code)
        self._arrivals += 1
        self.undecided.put(site, offer, self._arrivals)
        return []

    def _refuse(self, site: Site, offer: OfferFact, code: str) -> list[Effect]:
        receipt = site.receipt(self._plan.study, offer, Outcome.REFUSED, code=code)
        return [Drop(offer), *self._decide(site, receipt, offer)]

    def _decide(self, site: Site, receipt: Receipt, offer: OfferFact | None) -> list[Effect]:
        site.remember(receipt)
        self.undecided.drop(site)
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
