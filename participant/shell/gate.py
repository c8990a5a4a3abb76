"""The one way out: every number that leaves this site, of whatever kind, passes `Gate.let_out`.

Knows:    the allow-lists of the plan and of the site's policy, and how small a test set may be.
Never:    lets out what is not named in both, or a value that is no finite number.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

import structlog

from participant.settings import Policy
from schemas.codec import ID_LENGTH_MAX
from schemas.plan import ALONE, USAGE, Plan
from schemas.records import VALUE_MAX, VALUES_MAX

N_TEST = "n-test"
SAID_MAX = 20  # names that are told one by one: a task may invent new ones for ever

log = structlog.get_logger()


class What(StrEnum):
    UPDATE = "update"
    EVALUATION = "evaluation"
    PRESENCE = "presence"


class Gate:
    """Holds back what plan and policy do not name; each name held back is logged once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held_back: set[tuple[What, str]] = set()
        self._too_few: set[str] = set()  # studies of which it was said

    def let_out(self, what: What, numbers: Mapping[str, float], plan: Plan | None = None) -> dict[str, float]:
        """The numbers of one message that may leave.

        numbers   by name: metrics and usage of an EVALUATION, auxiliary coordinates of an UPDATE, states of a PRESENCE
        """
        if what is What.EVALUATION and plan is not None:
            numbers = self._of_enough(numbers, plan)
        allowed: dict[str, float] = {}
        for name in sorted(numbers):
            reason = self._reason(what, name, numbers[name], plan)
            if reason is None:
                allowed[name] = numbers[name]
            else:
                self._say(what, name, reason)
        return dict(list(allowed.items())[:VALUES_MAX])

    def _of_enough(self, numbers: Mapping[str, float], plan: Plan) -> Mapping[str, float]:
        """Of a test set that is too small nothing leaves but what the site used, not even how small it is."""
        least = max(plan.evaluation.test_min, self._policy.test_min)
        if numbers.get(N_TEST, 0.0) >= least:
            return numbers
        if plan.study not in self._too_few:
            self._too_few.add(plan.study)
            told = {"study": plan.study, "fewer_than": least}
            log.warning("too few test patients: nothing that is measured here leaves, or ends the study", **told)
        return {name: value for name, value in numbers.items() if name in USAGE and name != N_TEST}

    def _reason(self, what: What, name: str, value: float, plan: Plan | None) -> str | None:
        """Why a number stays here; None when it may leave."""
        if not math.isfinite(value):
            return "it is no finite number"
        if what is What.PRESENCE:
            return None
        if what is What.UPDATE:  # the plan was approved, and with it what an update carries
            carried = {coordinate[0] for coordinate in plan.encoding.auxiliary} if plan is not None else set()
            return None if name in carried else "the plan does not name it"
        if abs(value) > VALUE_MAX:
            return f"it is beyond {VALUE_MAX:g}, which no metric is"
        if plan is None or name not in plan.evaluation.named:
            return "the plan does not name it in evaluation.metrics"
        if len(name) > ID_LENGTH_MAX:  # `alone-` and `-high` around a long name of a plan of version 2
            return f"its name has more than the {ID_LENGTH_MAX} characters of an id"
        return None if self._policy_lets_out(name, plan) else "this site's policy keeps it"

    def _policy_lets_out(self, name: str, plan: Plan) -> bool:
        if not self._policy.share_evaluations:
            return False
        if name in USAGE:
            return self._policy.share_usage
        rule = plan.evaluation
        metric = name.removeprefix(ALONE).removesuffix("-low").removesuffix("-high")
        if metric == rule.weight:
            metric = rule.metric  # the weight that belongs to it, e.g. comparable pairs
        return "*" in self._policy.share_metrics or metric in self._policy.share_metrics

    def _say(self, what: What, name: str, reason: str) -> None:
        if (what, name) in self._held_back or len(self._held_back) > SAID_MAX:
            return
        self._held_back.add((what, name))
        if len(self._held_back) > SAID_MAX:
            log.info("held back, as are all further names", what=what.value)
        else:
            log.info("held back", what=what.value, name=name, reason=reason)
