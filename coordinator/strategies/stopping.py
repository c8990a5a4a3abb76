"""When a study ends, from what stands on the log: versions reached, patience, target.

Knows:    the sites' evaluations of the version that ends, as (value, weight) in 1e-6 and patients (or pairs).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.plan import Plan
from schemas.records import Stop


def overall(values: Iterable[tuple[int, int]]) -> int | None:
    """The mean of (value, weight), in the unit of the values; None without any weight."""
    pairs = list(values)
    weight = sum(share for _, share in pairs)
    return sum(value * share for value, share in pairs) // weight if weight else None


@dataclass(frozen=True, slots=True)
class Progress:
    """Best overall value so far, and for how many versions nothing was better."""

    best: int | None = None
    patience: int = 0

    def after(self, value: int | None, *, higher_is_better: bool) -> "Progress":
        """The progress once a version's overall value is known; an unknown value counts as no judgement."""
        if value is None:
            return self
        better = self.best is None or (value > self.best if higher_is_better else value < self.best)
        return Progress(value, 0) if better else Progress(self.best, self.patience + 1)


def stop_after(plan: Plan, *, version: int, progress: Progress, value: int | None) -> Stop:
    """Whether announcing `version` ends the study, given the progress and the overall value of the version before."""
    rule = plan.stop
    if version >= rule.versions:
        return Stop.VERSIONS
    if rule.target is not None and value is not None:
        reached = value >= rule.target * 1e6 if plan.evaluation.higher_is_better else value <= rule.target * 1e6
        if reached:
            return Stop.TARGET
    if rule.patience and progress.patience >= rule.patience:
        return Stop.PATIENCE
    return Stop.NONE
