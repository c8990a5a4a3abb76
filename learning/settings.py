"""A plan's [training] section as a task takes it.

Imports:  schemas.plan, learning.task.
"""

from __future__ import annotations

from learning.task import TrainingSettings
from schemas.errors import LocalError
from schemas.plan import Plan


def settings_of(plan: Plan) -> TrainingSettings:
    """The settings, without the time limit: who plays a study ahead waits for every training.

    Raises LocalError for what learning would refuse at each site.
    """
    rule = plan.training
    if rule.optimiser not in ("sgd", "adam"):
        raise LocalError(f"training.optimiser is {rule.optimiser!r}", hint="sgd or adam")
    return TrainingSettings(
        optimiser="adam" if rule.optimiser == "adam" else "sgd",
        learning_rate=rule.learning_rate,
        momentum=rule.momentum,
        weight_decay=rule.weight_decay,
        epochs=rule.epochs,
        steps=rule.steps,
        batch=rule.batch,
        proximal=rule.proximal,
    )
