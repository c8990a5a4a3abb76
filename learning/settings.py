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
    settings = plan.training.settings()
    if settings["optimiser"] not in ("sgd", "adam"):
        raise LocalError(f"training.optimiser is {settings['optimiser']!r}", hint="sgd or adam")
    return TrainingSettings(**{**settings, "time_limit_s": 0.0})
