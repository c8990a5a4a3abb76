"""[training]: what a site does for one update."""

from dataclasses import dataclass
from typing import Any

from schemas.codec import F8, Id, U
from schemas.plan.section import Section

SITE_OPTIMISERS = ("sgd", "adam")


@dataclass(frozen=True, slots=True)
class Training(Section):
    """How a site trains one update; either `epochs` or `steps` is 0."""

    optimiser: Id  #: `sgd` or `adam`, with fresh state for each update
    learning_rate: F8  #: above 0
    momentum: F8  #: of sgd, 0..1; 0: none
    weight_decay: F8  #: not negative; 0: none
    epochs: U  #: passes over a site's training examples; 0: `steps` counts
    steps: U  #: batches, the same number at every site; 0: `epochs` counts
    batch: U  #: examples in a batch; 0: all of them at once
    proximal: F8  #: FedProx' mu, which holds an update near its base version; not negative, 0: none
    time_limit_s: U  #: seconds; training ends after the first step past it, and what was reached is the update
    progress_limit_s: U  #: seconds, 1..time_limit_s; a trainer that takes no step for so long is hung, and is ended

    def settings(self) -> dict[str, Any]:
        """What a task trains by, under the names of `learning.task.TrainingSettings`; times in seconds, float."""
        names = ("optimiser", "learning_rate", "momentum", "weight_decay", "epochs", "steps", "batch", "proximal")
        return {name: getattr(self, name) for name in names} | {"time_limit_s": float(self.time_limit_s)}

    def problems(self) -> list[str]:
        found = []
        if self.optimiser not in SITE_OPTIMISERS:
            found.append(f"training.optimiser `{self.optimiser}` is none of {', '.join(SITE_OPTIMISERS)}")
        if (self.epochs == 0) == (self.steps == 0):
            found.append("training needs either epochs or steps above 0, not both")
        if self.learning_rate <= 0:
            found.append("training.learning_rate must be above 0")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or self.proximal < 0:
            found.append("training.momentum must lie in 0..1, weight_decay and proximal must not be negative")
        if self.time_limit_s == 0:
            found.append("training.time_limit_s must be above 0: a trainer without a limit can hang for ever")
        elif not 0 < self.progress_limit_s <= self.time_limit_s:
            found.append(
                f"training.progress_limit_s must lie in 1..time_limit_s ({self.time_limit_s}): a trainer that takes no "
                "step for so long is ended"
            )
        return found
