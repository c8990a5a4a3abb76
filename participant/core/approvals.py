"""What this hospital agreed to: which plans it takes part in, and how small a cohort may be.

Knows:    the digests that the operator approved, and the least cohort.
"""

from dataclasses import dataclass

from schemas.errors import LocalError
from schemas.plan import Plan


@dataclass(frozen=True, slots=True)
class Approvals:
    """`plans` are SHA-256 digests of approved plans; `cohort_min` is the fewest sites an update may be added to."""

    plans: frozenset[bytes]
    cohort_min: int = 1

    def approves(self, plan: Plan) -> bool:
        """Whether the operator has named this very plan."""
        return plan.digest in self.plans

    def floor(self, plan: Plan) -> int:
        """The least cohort this site signs into its headers.

        Raises LocalError when no cohort of this plan can be that large.
        """
        floor = max(self.cohort_min, plan.aggregation.cohort_min)
        if floor > plan.aggregation.goal:
            raise LocalError(
                f"policy.cohort_min is {self.cohort_min}, but a cohort of study {plan.study} closes at "
                f"{plan.aggregation.goal} updates: none of ours could ever count",
                hint="lower policy.cohort_min, or take the study out of the settings",
            )
        return floor
