"""Plans for the coordinator's tests: few sites, short tables, every rule of gathering and stopping within reach."""

from dataclasses import replace
from typing import Any

from schemas.plan import Plan
from tests.schemas.plans import with_cohort_min

TABLE = (16, 11, 9, 8)


def plan_of(*, goal: int = 3, minimum: int | None = None, floor: int = 1, deadline_ms: int = 0, **stop: Any) -> Plan:
    """A plan with versions enough for any test; `stop` replaces values of the stop rule."""
    plan = with_cohort_min(
        floor,
        goal=goal,
        minimum=goal if minimum is None else minimum,
        deadline_ms=deadline_ms,
        staleness_max=len(TABLE) - 1,
        weight_table=TABLE,
    )
    return replace(plan, stop=replace(plan.stop, **{"versions": 1000, **stop}))
