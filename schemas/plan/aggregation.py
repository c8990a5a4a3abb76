"""[aggregation]: when a cohort closes, what an update weighs, and the server's step.

Source:   FedBuff arXiv 2106.06639 (buffer), FedAsync arXiv 1903.03934 (staleness), FedOpt arXiv 2003.00295 (steps).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from schemas.codec import F8, ID, Id, Many, Maybe, U, Whole
from schemas.plan.section import Section
from schemas.records import SITES_MAX
from schemas.staleness import WEIGHT_FULL, WEIGHT_LEAST

SERVER_OPTIMISERS = ("average", "momentum", "adagrad", "yogi", "adam")
PRESETS = ("fedavg", "fedasync", "fedbuff")
STALENESS_MOST = 1024
ABSENCE_CAP_MAX = 64

Updates = Annotated[int, Whole(1, SITES_MAX)]


@dataclass(frozen=True, slots=True)
class Aggregation(Section):
    """When a cohort closes, what an update weighs by staleness, examples and absence, and the server's step."""

    preset: Id  #: `fedavg`, `fedasync` or `fedbuff`: where the defaults came from; nothing else depends on it
    goal: Updates  #: so many updates close a cohort
    minimum: Updates  #: so many are enough at the deadline
    cohort_min: Updates  #: a cohort of fewer updates is never combined, whatever a command says
    cohort_max: Updates  #: a cohort never has more; the modulus must hold the sum of so many
    deadline_ms: U  #: milliseconds from the round's start; 0: only the goal closes a cohort
    staleness_max: Annotated[int, Whole(0, STALENESS_MOST)]  #: versions; an update further behind is refused
    weight_table: Annotated[
        tuple[int, ...], Many(Whole(WEIGHT_LEAST, WEIGHT_FULL), STALENESS_MOST + 1, low=1)
    ]  #: weight in 16ths by staleness, one for each of 0..staleness_max; begins with 16, never rises
    examples: Annotated[str | None, Maybe(ID)]  #: the auxiliary coordinate of example weights; none: all sites alike
    examples_max: U  #: the largest number of training examples of any site; 0 when examples do not weigh
    absence_cap: Annotated[int, Whole(1, ABSENCE_CAP_MAX)]  #: most by which a site long not heard weighs more; 1: none
    server_optimiser: Id  #: `average`, `momentum`, `adagrad`, `yogi` or `adam`
    server_lr: F8  #: what the step is multiplied by, above 0
    beta1: F8  #: how much of the mean of steps stays from version to version, within 0..1; momentum, yogi, adam
    beta2: F8  #: the same of the mean of squares; yogi, adam
    denominator_floor: F8  #: added to the root that a step is divided by, above 0 (`tau` of FedOpt, `eps` of torch)

    def problems(self) -> list[str]:
        return [*self._gathering(), *self._weights(), *self._step()]

    def _gathering(self) -> list[str]:
        found = []
        if self.preset not in PRESETS:
            found.append(f"aggregation.preset `{self.preset}` is none of {', '.join(PRESETS)}")
        if not self.cohort_max >= self.goal >= self.minimum >= self.cohort_min:
            found.append(
                f"aggregation needs cohort_max >= goal >= minimum >= cohort_min, got "
                f"{self.cohort_max}, {self.goal}, {self.minimum}, {self.cohort_min}"
            )
        if self.minimum < self.goal and self.deadline_ms == 0:
            found.append("aggregation.minimum below goal needs a deadline_s: without one only the goal closes a cohort")
        return found

    def _weights(self) -> list[str]:
        weights, found = self.weight_table, []
        if len(weights) != self.staleness_max + 1:
            found.append(f"aggregation.weight_table has {len(weights)} weights for staleness 0..{self.staleness_max}")
        if weights[0] != WEIGHT_FULL or any(later > earlier for earlier, later in pairwise(weights)):
            found.append(f"aggregation.weight_table must begin with {WEIGHT_FULL} and never rise")
        if (self.examples is None) != (self.examples_max == 0):
            found.append("aggregation.examples and examples_max go together")
        return found

    def _step(self) -> list[str]:
        found = []
        if self.server_optimiser not in SERVER_OPTIMISERS:
            found.append(
                f"aggregation.server_optimiser `{self.server_optimiser}` is none of {', '.join(SERVER_OPTIMISERS)}"
            )
        betas = 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1
        if self.server_lr <= 0 or not betas or self.denominator_floor <= 0:
            found.append("aggregation.server_lr and denominator_floor must be above 0, beta1 and beta2 in 0..1")
        return found
