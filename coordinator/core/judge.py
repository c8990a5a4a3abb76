"""Whether an offer may be counted at all: the checks that need no body, in one order, with one code each.

Knows:    the plan, which versions an update may come from, who belongs, and whom an operator excludes.
"""

from collections.abc import Mapping

from coordinator.core.codes import Refusal
from coordinator.core.events import OfferFact
from schemas.plan import Plan


class Judge:
    """By what a study's offers are judged now."""

    def __init__(self, plan: Plan, *, version: int, models: Mapping[int, bytes], final: bool) -> None:
        """`models`: model digest by version, at least those the plan's table reaches back to."""
        self.version = version
        self.final = final
        self.members: frozenset[str] = frozenset()  # by the roster as it is now
        self.excluded: frozenset[str] = frozenset()  # by the operator's orders
        self._plan, self._digest = plan, plan.digest
        self._models = dict(models)

    def rise(self, version: int, model: bytes, *, final: bool) -> None:
        """From now on offers are judged against `version`."""
        self.version, self.final = version, final
        self._models[version] = model
        self._models.pop(version - self._plan.aggregation.staleness_max - 1, None)

    def refusal(self, offer: OfferFact) -> str | None:
        """The receipt code that refuses a fresh offer, or None."""
        if offer.code is not None:
            return offer.code
        code = self._unfit(offer)
        if code is None and offer.site not in self.members:
            code = Refusal.STRANGER
        if code is None and offer.site in self.excluded:
            code = Refusal.EXCLUDED
        return Refusal.FINAL if code is None and self.final else code

    def too_late(self, offer: OfferFact) -> Refusal | None:
        """The code for an offer that waited too long: past the plan's table, or past the study's end."""
        if self.weight(offer) is None:
            return Refusal.STALE
        return Refusal.FINAL if self.final else None

    def barred(self, site: str) -> Refusal | None:
        """The code for what waits of a site that left, or was excluded."""
        if site not in self.members:
            return Refusal.REVOKED
        return Refusal.EXCLUDED if site in self.excluded else None

    def weight(self, offer: OfferFact) -> int | None:
        """What an update weighs in the round that follows the newest version, in 16ths; None past the table's end."""
        return self._plan.weight(self.version - offer.base_version)

    def is_newest(self, version: int, model: bytes) -> bool:
        """Whether `model` is the digest of the newest version."""
        return version == self.version and model == self._models[version]

    def _unfit(self, offer: OfferFact) -> Refusal | None:
        plan = self._plan
        if offer.plan != self._digest:
            return Refusal.PLAN
        if offer.d != plan.d or offer.size_bytes != plan.body_bytes or offer.base_version > self.version:
            return Refusal.MALFORMED
        if offer.trustees != len(plan.masking.trustees):
            return Refusal.TRUSTEES
        if self.weight(offer) is None:
            return Refusal.STALE
        if self._models.get(offer.base_version) != offer.base_digest:
            return Refusal.MALFORMED
        if not plan.aggregation.cohort_min <= offer.cohort_min <= plan.aggregation.goal:
            return Refusal.FLOOR
        return None
