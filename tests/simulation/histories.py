"""The plans that histories are drawn from: every rule of gathering and stopping within reach."""

from dataclasses import replace

from schemas.plan import Plan
from tests.simulation.plans import plan_of


def _stopping(plan: Plan, **rule: object) -> Plan:
    return replace(plan, stop=replace(plan.stop, **rule))  # type: ignore[arg-type]


PLANS = (
    plan_of(goal=2, versions=6),
    plan_of(goal=1, versions=9),
    plan_of(goal=3, minimum=2, deadline_ms=4_000, versions=7),
    plan_of(goal=3, minimum=2, floor=2, deadline_ms=9_000, versions=6),
    plan_of(goal=4, minimum=1, deadline_ms=2_500, versions=8),
)
