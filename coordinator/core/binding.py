"""The cohort of a round, once it is chosen: what is missing of its sum, and the receipts with which it ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.core.events import Cohort, Effect, OfferFact
from coordinator.core.offers import Offers
from coordinator.core.site import Phase, Site
from schemas.records import Outcome, Receipt, RequestEntry


@dataclass(frozen=True, slots=True)
class Binding:
    """The cohort of a Request, whose offers are what is undecided of its sites: it is completed, never changed."""

    study: str
    version: int  # the one that it makes
    entries: tuple[RequestEntry, ...]
    offers: Offers

    def complete(self) -> tuple[list[Effect], bool]:
        """Fetch and add what is not in the sum yet, whatever it would weigh now; and whether all of it is there."""
        effects: list[Effect] = []
        for entry in self.entries:
            if entry.site in self.offers.in_phase(Phase.WAITING):
                effects.append(self.offers.enter(entry.site))
            elif entry.site in self.offers.in_phase(Phase.READY):
                effects.append(self.offers.add(entry.site, entry.weight))
        added = self.offers.in_phase(Phase.ADDED)
        return effects, all(entry.site in added for entry in self.entries)

    @property
    def cohort(self) -> Cohort:
        return Cohort(self.version, self.entries, tuple(offer for _, offer in self._named()))

    def counted(self) -> tuple[Receipt, ...]:
        """The receipts of a round that makes its version."""
        weights = {entry.site: entry.weight for entry in self.entries}
        return tuple(
            site.receipt(self.study, offer, Outcome.COUNTED, version=self.version, weight=weights[site.name])
            for site, offer in self._named()
        )

    def voids(self) -> tuple[Receipt, ...]:
        """The receipts of one that fails."""
        return tuple(site.receipt(self.study, offer, Outcome.VOID) for site, offer in self._named())

    def _named(self) -> Sequence[tuple[Site, OfferFact]]:
        sites = [self.offers.site(entry.site) for entry in self.entries]
        return [(site, site.undecided.offer) for site in sites if site.undecided is not None]
