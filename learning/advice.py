"""What deserves a word when a study is tried: clipped updates, a rate that is far off, a federation below alone.

Knows:    the one rule for each, whoever asks: plan check, simulate, experiment, report.
Imports:  stdlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CLIPPED_FEW = 0.05  # of the updates: the clip is a bound then, not a brake
LEARNT_ENOUGH = 0.8  # of the way that the pooled model's training loss goes from version 0
RATES = {"adam": (1e-5, 0.3), "sgd": (1e-5, 10.0)}  # outside these no study here has learnt: docs/defaults.md


def of_clip(lengths: Sequence[float], clip: float) -> list[str]:
    """lengths: L2 norms of updates before clipping, those of one trial."""
    long = sum(length > clip for length in lengths)
    if not lengths or long <= CLIPPED_FEW * len(lengths):
        return []
    return [
        f"updates are clipped: {long} of {len(lengths)} ({long / len(lengths):.0%}) were longer than clip {clip:g}, "
        f"the longest {max(lengths):.3g}: choose encoding.clip {clip_for(max(lengths)):g}, or a smaller rate"
    ]


def clip_for(longest: float) -> float:
    """A clip that leaves room above the longest update seen: twice it, rounded up to 1, 2 or 5 times a power of ten."""
    if not 0 < longest < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(2 * longest))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 2 * longest)


def of_learning(first: float, last: float, pooled: float) -> list[str]:
    """Training losses over all sites: of version 0, of the last version, and of the model that pooled data gave."""
    if not math.isfinite(last) or last > first:
        return [
            f"the rate is too large: the training loss rose from {first:.4g} to {last:.4g}; lower "
            "training.learning_rate (a third of it, then again)"
        ]
    if first - pooled <= 0 or first - last >= LEARNT_ENOUGH * (first - pooled):
        return []
    way = (first - last) / (first - pooled)
    return [
        f"the study ends before it has learnt: its training loss went {way:.0%} of the way that pooled training goes; "
        "raise training.learning_rate (three times, then again), training.steps or epochs, or stop.versions"
    ]


def of_comparison(alone: float, federated: float, *, higher_is_better: bool, metric: str) -> list[str]:
    """The same metric of the same sites without the others and together."""
    if (federated >= alone) if higher_is_better else (federated <= alone):
        return []
    return [
        f"federated stays below alone: {metric} {federated:.3f} against {alone:.3f}; a hospital gains nothing by "
        "taking part as the plan stands"
    ]


def of_rate(optimiser: str, rate: float) -> list[str]:
    """What the rate alone tells, without patients."""
    low, high = RATES.get(optimiser, (0.0, math.inf))
    if low <= rate <= high:
        return []
    which = "large: training will most likely diverge" if rate > high else "small: training will hardly move"
    return [f"learning_rate {rate:g} is very {which} ({optimiser} learns between {low:g} and {high:g})"]


def of_longest(optimiser: str, rate: float, steps: int, parameters: int, clip: float) -> list[str]:
    """What arithmetic tells of the clip: a step of Adam moves no coordinate by more than about the rate (section 2.1).

    Source: Kingma and Ba, arXiv 1412.6980.
    """
    longest = rate * steps * math.sqrt(parameters)
    if optimiser != "adam" or not steps or clip >= longest / 4:
        return []
    return [
        f"an update of {steps} steps of adam at {rate:g} may be up to {longest:.3g} long, the clip is {clip:g}: try "
        "`wardround simulate --learn`, which says how many are clipped"
    ]
