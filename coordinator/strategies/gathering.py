"""When a cohort closes and who is in it: goal, minimum, deadline, and the floors that sites set.

Knows:    FedAvg, FedAsync and FedBuff as presets of one rule (they differ in goal, minimum, deadline alone).
Source:   FedBuff, arXiv 2106.06639, algorithm 1; floors: docs/secure-aggregation.md, section 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gathering:
    """`goal` updates close a cohort at once; from `deadline_ms` on `minimum` do. Deadline 0 means none."""

    goal: int
    minimum: int
    deadline_ms: int

    def closes(self, ready: int, waited_ms: int, *, hurried: bool = False) -> bool:
        """Whether a cohort of `ready` updates closes after `waited_ms` of this round; `hurried`: as at the deadline."""
        late = hurried or (self.deadline_ms > 0 and waited_ms >= self.deadline_ms)
        return ready >= self.goal or (late and ready >= self.minimum)


def within_floors(floors: Mapping[str, int]) -> frozenset[str]:
    """The largest set of sites in which every site's floor is at most the set's size."""
    chosen = dict(floors)
    while True:
        size = len(chosen)
        kept = {site: floor for site, floor in chosen.items() if floor <= size}
        if len(kept) == size:
            return frozenset(kept)
        chosen = kept


def largest_within_floors(floors: Mapping[int, int]) -> int:
    """The size of the largest set in which every floor is at most that size; `floors` counts sites by their floor."""
    size = sum(floors.values())
    while True:
        kept = sum(count for floor, count in floors.items() if floor <= size)
        if kept == size:
            return size
        size = kept
