"""What a run found: the numbers, as text for people and as JSON for scripts.

Never:    judges; `passed` is the balance, the models and the services' health together.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.acts import Acts
from tests.faults.balance import Balance
from tests.faults.federation import Ended
from tests.faults.models import Models
from tests.faults.stage import Round


@dataclass(slots=True)
class Result:
    """One run, to its end or to where it failed."""

    round: Round
    acts: Acts
    balance: Balance
    models: Models
    announced_ms: list[int]
    unwell: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)  # services that did not stop as they should
    ended: list[Ended] = field(default_factory=list)
    flips: int = 0

    @property
    def failures(self) -> list[str]:
        """Everything that may not be, one line each."""
        ended = [f"{one.name} ended by itself with {one.code}" for one in self.ended if not one.allowed]
        wrong = [*self.balance.differences, *self.models.differences, *self.unwell, *self.stops, *ended]
        if self.balance.difference:
            wrong.append(f"offers made less offers accounted for: {self.balance.difference}")
        return wrong

    @property
    def after_broker_s(self) -> list[float]:
        """From each return of the broker to the next version."""
        return until_next(self.acts.broker_back_ms, self.announced_ms)

    @property
    def take_over_s(self) -> list[float]:
        """From each kill of the coordinator that led the study to the next version."""
        return until_next(self.acts.leader_killed_ms, self.announced_ms)

    def values(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {
            "seed": self.round.seed,
            "duration_s": self.round.duration_s,
            "sites": self.round.sites,
            "coordinators": self.round.coordinators,
            "passed": not self.failures,
            "failures": self.failures,
            "faults": {f"{role.value}: {act.value}": count for (role, act), count in sorted(self.acts.done.items())},
            "faults_missed": sum(self.acts.missed.values()),
            "flipped_bits": self.flips,
            "versions": len(self.announced_ms),
            "recomputed": self.models.recomputed,
            "sealed": self.balance.sealed,
            "offers": self.balance.offers,
            "offer_records": self.balance.offer_records,
            "fates": dict(sorted(self.balance.fates.items())),
            "difference": self.balance.difference,
            "after_broker_s": spread(self.after_broker_s),
            "take_over_s": spread(self.take_over_s),
            "ended_by_themselves": [{"name": one.name, "code": one.code} for one in self.ended],
        }

    def text(self) -> str:
        """What a person reads."""
        values = self.values()
        lines = [
            f"seed {self.round.seed}: {self.round.sites} sites, {self.round.coordinators} coordinator(s), "
            f"{self.round.duration_s:g} s of faults",
            "faults: " + ", ".join(f"{name} {count}" for name, count in values["faults"].items()),
            f"        {self.flips} bits flipped, {values['faults_missed']} faults found nobody to hit",
            f"versions: {values['versions']}, recomputed from the log {self.models.recomputed}",
            f"updates sealed: {self.balance.sealed}; offers made: {self.balance.offers} "
            f"in {self.balance.offer_records} records",
            *(f"  {fate:32s}{count:6d}" for fate, count in values["fates"].items()),
            f"  {'difference':32s}{self.balance.difference:6d}",
            f"from the broker's return to the next version: {_spread_text(self.after_broker_s)}",
            f"from the leading coordinator's kill to the next version: {_spread_text(self.take_over_s)}",
            *(f"ended by itself: {one.name} with {one.code}\n{one.last_lines}" for one in self.ended),
        ]
        verdict = ["PASSED"] if not self.failures else ["FAILED", *(f"  {line}" for line in self.failures)]
        return "\n".join([*lines, *verdict])


def until_next(moments_ms: Sequence[int], announced_ms: Sequence[int]) -> list[float]:
    """Seconds from each moment to the first announcement after it, where the same trouble did not come first."""
    moments = sorted(moments_ms)
    found = []
    for moment, until in zip(moments, [*moments, math.inf][1:], strict=False):
        after = min((at for at in announced_ms if at > moment), default=math.inf)
        if after < until:
            found.append((after - moment) / 1000)
    return found


def spread(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Count, median and maximum."""
    if not seconds:
        return {"count": 0, "median": None, "max": None}
    return {"count": len(seconds), "median": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)}


def _spread_text(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s of {len(seconds)}"
