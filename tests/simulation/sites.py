"""Sites for short histories."""

from typing import Any

from simulation.premises import SiteSpec


def sites_of(number: int, **spec: Any) -> list[SiteSpec]:
    """Sites that differ in speed alone."""
    return [SiteSpec(f"site-{at}", **{"train_ms": 2_000 + 700 * at, "evaluate_ms": 50, **spec}) for at in range(number)]
