"""How much longer one plan's training takes than another's: by the patients that pass through it in an update."""

from collections.abc import Mapping

from schemas.plan import Plan

TYPICAL_PATIENTS = 100  # of a site, where nobody's patients are known and one plan counts epochs, the other steps


def times_as_long(plan: Plan, asked: Plan, patients: Mapping[str, int], site: str) -> float:
    """The time of one training under `plan` over that under `asked`, whose times were given.

    patients   training patients by site, where they are known
    """
    count = patients.get(site, TYPICAL_PATIENTS)
    return _passed(plan, count) / _passed(asked, count)


def _passed(plan: Plan, patients: int) -> int:
    rule = plan.training
    if rule.epochs:
        return rule.epochs * patients
    return rule.steps * (min(rule.batch, patients) if rule.batch else patients)
