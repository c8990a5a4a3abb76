"""Whether an offer may be counted at all: the checks that need no body, in one order, with one code each."""

from collections.abc import Mapping

from coordinator.core.events import OfferFact
from schemas.plan import Plan


def refusal(
    offer: OfferFact, plan: Plan, plan_digest: bytes, *, version: int, models: Mapping[int, bytes]
) -> str | None:
    """The receipt code that refuses `offer`, or None. `models` has the model digest of each version still in reach."""
    if offer.code is not None:
        return offer.code
    if offer.plan != plan_digest:
        return "plan"
    if offer.d != plan.d or offer.size_bytes != plan.body_bytes or offer.base_version > version:
        return "malformed"
    if offer.trustees != len(plan.masking.trustees):
        return "trustees"
    if plan.weight(version - offer.base_version) is None:
        return "stale"
    if models.get(offer.base_version) != offer.base_digest:
        return "malformed"
    if not plan.aggregation.cohort_min <= offer.cohort_min <= plan.aggregation.goal:
        return "floor"
    return None
