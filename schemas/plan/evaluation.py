"""[evaluation]: what sites measure, and what of it may leave."""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import F8, ID, Flag, Id, Many, Whole
from schemas.plan.section import Section

COUNTS_KEPT_MAX = 1000
METRICS_MAX = 16
METRIC_LENGTH_MAX = 29  # so that `alone-` before it and `-high` behind it still make an id
WEIGHT_MAX = 10.0
ALONE = "alone-"  # before the name of a metric: of the local baseline
USAGE = frozenset({"train-seconds", "bytes-up", "bytes-down", "bytes-data", "n-test", "not-finite"})


@dataclass(frozen=True, slots=True)
class EvaluationRule(Section):
    """What sites measure, and what of it may leave: every n-th version, bootstrap samples, local baseline."""

    every: Annotated[int, Whole(1, COUNTS_KEPT_MAX)]  #: each n-th version, and the last, is measured
    metric: Id  #: the primary metric, by which versions are judged
    higher_is_better: Flag  #: whether more of `metric` is better
    weight: Id  #: the value that weighs sites in an overall figure: `n-test`, or comparable pairs
    bootstrap: Annotated[int, Whole(0, 10_000)]  #: resamples for an interval; 0: no interval
    alone: Flag  #: whether a site also trains without the others, for comparison
    metrics: Annotated[
        tuple[str, ...], Many(ID, METRICS_MAX, low=1, key=str)
    ]  #: every metric that may leave a site, `metric` and `weight` among them; no other name does
    test_min: Annotated[int, Whole(1, 1_000_000)]  #: test examples; a site with fewer keeps its measurements to itself
    weight_max: F8  #: a site weighs at most so many times as much as the site in the middle, 1 or more

    def names(self, metric: str) -> frozenset[str]:
        """The names under which one metric leaves: of a version and of the local baseline, with its interval."""
        return frozenset(before + metric + behind for before in ("", ALONE) for behind in ("", "-low", "-high"))

    @property
    def named(self) -> frozenset[str]:
        """Every name that an Evaluation may hold."""
        return USAGE.union(*(self.names(metric) for metric in self.metrics))

    def problems(self) -> list[str]:
        found = []
        if not {self.metric, self.weight} <= set(self.metrics):
            found.append(f"evaluation.metrics must name {self.metric} and {self.weight}, by which versions are judged")
        if self.weight_max < 1:
            found.append("evaluation.weight_max must be 1 or more: how many times the site in the middle one may weigh")
        return found

    def name_problems(self) -> list[str]:
        """Metrics whose names would be taken for another's; plans of version 2 were not held to it."""
        found = []
        for name in self.metrics:
            if name.startswith(ALONE) or name.endswith(("-low", "-high")):
                found.append(f"evaluation.metrics: `{name}` would be taken for a baseline or a bound of another metric")
            if len(name) > METRIC_LENGTH_MAX:
                found.append(f"evaluation.metrics: `{name}` is longer than {METRIC_LENGTH_MAX} characters")
        return found
