"""Plans and sites for short histories."""

from dataclasses import replace
from typing import Any

from schemas.plan import Plan
from simulation.site import SiteSpec
from tests.schemas.plans import with_cohort_min

TABLE = (16, 11, 9, 8)


def plan_of(
    *, goal: int = 3, minimum: int | None = None, floor: int = 1, deadline_ms: int = 0, versions: int = 6, **parts: Any
) -> Plan:
    """A plan of a few versions; `parts` replaces whole sections."""
    plan = with_cohort_min(
        floor, goal=goal, minimum=goal if minimum is None else minimum, deadline_ms=deadline_ms,
        staleness_max=len(TABLE) - 1, weight_table=TABLE,
    )  # fmt: skip
    return replace(plan, stop=replace(plan.stop, versions=versions), **parts)


def sites_of(number: int, **spec: Any) -> list[SiteSpec]:
    """Sites that differ in speed alone."""
    return [SiteSpec(f"site-{at}", **{"train_ms": 2_000 + 700 * at, "evaluate_ms": 50, **spec}) for at in range(number)]
