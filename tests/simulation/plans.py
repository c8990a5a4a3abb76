"""Plans and sites for short histories."""

from typing import Any

from simulation.plans import plan_of
from simulation.site import SiteSpec

__all__ = ["plan_of", "sites_of"]


def sites_of(number: int, **spec: Any) -> list[SiteSpec]:
    """Sites that differ in speed alone."""
    return [SiteSpec(f"site-{at}", **{"train_ms": 2_000 + 700 * at, "evaluate_ms": 50, **spec}) for at in range(number)]
