"""How good a version is, from what sites say of it, so that no single one of them can decide it.

Knows:    each site's value and weight; how far a site that lies can move a mean.
Never:    trusts one site's word: what the sites say together is told again with each of them left out.
Source:   docs/decisions/0042; winsorized mean: Tukey, The Future of Data Analysis (1962), section 14.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.plan import Plan
from schemas.records import SUMMARY_SITES_MIN, Summary

ADJUSTED_FROM = 3  # with fewer there is no next one that an outermost value could be taken for


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the sites say together, None where they say nothing; and what they say without each one that was heard."""

    whole: float | None = None
    without: Mapping[str, float] = field(default_factory=dict)

    def of(self, site: str) -> float | None:
        """What is said without `site`, which may have said nothing."""
        return self.without.get(site, self.whole)


def summary_of(judgement: Judgement) -> Summary | None:
    """What everybody may know of it."""
    sites = len(judgement.without)
    if judgement.whole is None or sites < SUMMARY_SITES_MIN:
        return None
    return Summary(sites, judgement.whole + 0.0)  # minus zero becomes zero


def judge(plan: Plan, heard: Mapping[str, tuple[float, float]]) -> Judgement:
    """Judge a version by (value, weight) of each site. Cost: a sort, and a pass for each of a few bounds.

    One site's word alone judges nothing, but in a study of one site. Weights are capped at the plan's `weight_max`
    times the middle one, and the highest and the lowest value count as the next one. What is said without a site
    follows from the words of the others alone.
    """
    sites = sorted(name for name, (_, weight) in heard.items() if weight > 0)
    if len(sites) < min(2, plan.sites_expected):
        return Judgement()
    means = _Means([heard[name] for name in sites], plan.evaluation.weight_max)
    return Judgement(means.mean(), {name: means.mean(at) for at, name in enumerate(sites) if len(sites) > 1})


def capped(weights: Sequence[float], weight_max: float) -> list[float]:
    """The weights, none above `weight_max` times the middle one (of an even number, the lower of the two)."""
    positive = sorted(weight for weight in weights if weight > 0)
    most = weight_max * positive[(len(positive) - 1) // 2] if positive else 0.0
    return [min(weight, most) for weight in weights]


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: float
    high: float
    weight: float


class _Sums:
    """Weighted values and weights within bounds; whole numbers, so that what is taken out again leaves no trace."""

    def __init__(self, pairs: Sequence[tuple[float, float]], bounds: _Bounds) -> None:
        self._weights, _ = _whole([min(weight, bounds.weight) for _, weight in pairs])
        within, self._unit = _whole([min(max(value, bounds.low), bounds.high) for value, _ in pairs])
        self._values = [value * weight for value, weight in zip(within, self._weights, strict=True)]
        self._value, self._weight = sum(self._values), sum(self._weights)

    def mean(self, left_out: int | None) -> float:
        value, weight = self._value, self._weight
        if left_out is not None:
            value, weight = value - self._values[left_out], weight - self._weights[left_out]
        return value / (weight * self._unit)


def _whole(numbers: Sequence[float]) -> tuple[list[int], int]:
    """The same numbers as multiples of 1/unit, exactly: every float is a whole number over a power of two."""
    ratios = [number.as_integer_ratio() for number in numbers]
    unit = max(below for _, below in ratios)
    return [above * (unit // below) for above, below in ratios], unit


class _Means:
    """Means of all, and of all but one; `left_out` is a place among the pairs of (value, weight)."""

    def __init__(self, pairs: Sequence[tuple[float, float]], weight_max: float) -> None:
        self._pairs, self._weight_max = pairs, weight_max
        self._by_value = sorted(range(len(pairs)), key=lambda at: pairs[at][0])
        self._by_weight = sorted(range(len(pairs)), key=lambda at: pairs[at][1])
        self._place = {at: place for place, at in enumerate(self._by_weight)}
        self._sums: dict[_Bounds, _Sums] = {}

    def mean(self, left_out: int | None = None) -> float:
        bounds = self._bounds(left_out)
        if bounds not in self._sums:
            self._sums[bounds] = _Sums(self._pairs, bounds)
        return self._sums[bounds].mean(left_out)

    def _bounds(self, left_out: int | None) -> _Bounds:
        number = len(self._pairs) - (left_out is not None)
        place = len(self._pairs) if left_out is None else self._place[left_out]
        middle = (number - 1) // 2
        most = self._weight_max * self._pairs[self._by_weight[middle + (middle >= place)]][1]
        if number < ADJUSTED_FROM:
            return _Bounds(-math.inf, math.inf, most)
        return _Bounds(self._second(self._by_value, left_out), self._second(self._by_value[:-4:-1], left_out), most)

    def _second(self, order: Sequence[int], left_out: int | None) -> float:
        return self._pairs[[at for at in order[:3] if at != left_out][1]][0]
