"""A file a section: how its author writes it. To add a field: CONTRIBUTING.md."""

from registry.plans.form import PlanForm
from registry.plans.forms import (
    aggregation,
    data,
    encoding,
    evaluation,
    masking,
    members,
    noise,
    stop,
    storage,
    study,
    task,
    training,
)

PLAN_FORM = PlanForm(
    (
        study.FORM,
        members.FORM,
        task.FORM,
        training.FORM,
        aggregation.FORM,
        encoding.FORM,
        masking.FORM,
        noise.FORM,
        evaluation.FORM,
        stop.FORM,
        storage.FORM,
        data.FORM,
    )
)

__all__ = ["PLAN_FORM"]
