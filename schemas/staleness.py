"""Weight by staleness: the tables a plan may carry, in 16ths from 16 (fresh) to 4; past the end: refused.

Source: FedAsync (arXiv 1903.03934, section 5: constant, hinge, polynomial), in integers so that every role agrees.
"""

import math
from dataclasses import dataclass
from typing import Protocol

WEIGHT_FULL = 16
WEIGHT_LEAST = 4


class Staleness(Protocol):
    """How much an update counts that is `staleness` versions behind; None refuses it."""

    def weight(self, staleness: int) -> int | None: ...


def _sixteenths(share: float) -> int:
    return max(WEIGHT_LEAST, round(WEIGHT_FULL * share))


@dataclass(frozen=True, slots=True)
class Constant:
    """Every update counts fully, however late."""

    def weight(self, staleness: int) -> int | None:
        return WEIGHT_FULL


@dataclass(frozen=True, slots=True)
class Polynomial:
    """(1 + staleness) ** -exponent."""

    exponent: float = 0.5

    def weight(self, staleness: int) -> int | None:
        share = 1 / math.sqrt(1 + staleness) if self.exponent == 0.5 else (1 + staleness) ** -self.exponent
        return _sixteenths(share)


@dataclass(frozen=True, slots=True)
class Hinge:
    """Full weight up to `late_from` versions, then 1 / (slope * (staleness - late_from) + 1)."""

    slope: float = 0.5
    late_from: int = 4

    def weight(self, staleness: int) -> int | None:
        late = staleness - self.late_from
        return WEIGHT_FULL if late <= 0 else _sixteenths(1 / (self.slope * late + 1))


@dataclass(frozen=True, slots=True)
class CutOff:
    """`inner`, but nothing later than `staleness_max` versions."""

    inner: Staleness
    staleness_max: int

    def weight(self, staleness: int) -> int | None:
        return self.inner.weight(staleness) if 0 <= staleness <= self.staleness_max else None


def table(staleness: CutOff) -> tuple[int, ...]:
    """The weights for staleness 0..staleness_max, as a plan carries them."""
    weights = (staleness.weight(late) for late in range(staleness.staleness_max + 1))
    return tuple(weight for weight in weights if weight is not None)
