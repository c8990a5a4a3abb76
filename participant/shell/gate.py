"""The one way out: every number that leaves this site, of whatever kind, passes `Gate.let_out`.

Knows:    the allow-list of the site's policy.
Never:    lets out what is not named there, or a value that is no finite number.
Used by:  participant.shell (updates, evaluations, presence).
"""

import math
from collections.abc import Mapping
from enum import StrEnum

import structlog

from participant.settings import Policy
from schemas.codec import ID
from schemas.plan import Plan

MILLIONTHS = 1_000_000
VALUES_MAX = 64  # of an Evaluation
USAGE = frozenset({"train-seconds", "bytes-up", "bytes-down", "bytes-data", "n-test"})

log = structlog.get_logger()


class What(StrEnum):
    UPDATE = "update"
    EVALUATION = "evaluation"
    PRESENCE = "presence"


class Gate:
    """Holds back what policy does not name; each name held back is logged once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held_back: set[tuple[What, str]] = set()

    def let_out(self, what: What, numbers: Mapping[str, float], plan: Plan | None = None) -> dict[str, float]:
        """The numbers of one message that may leave.

        numbers   by name: metrics and usage of an EVALUATION, auxiliary coordinates of an UPDATE, states of a PRESENCE
        """
        allowed: dict[str, float] = {}
        for name in sorted(numbers):
            if self._may_leave(what, name, plan) and math.isfinite(numbers[name]):
                allowed[name] = numbers[name]
            elif (what, name) not in self._held_back:
                self._held_back.add((what, name))
                log.info("held back by policy, or no number", what=what.value, name=name)
        return dict(list(allowed.items())[:VALUES_MAX])

    def _may_leave(self, what: What, name: str, plan: Plan | None) -> bool:
        if what is What.PRESENCE:
            return True
        if what is What.UPDATE:  # the plan was approved, and with it what an update carries
            return plan is not None and name in {coordinate[0] for coordinate in plan.privacy.auxiliary}
        if not self._policy.share_evaluations or not _is_id(name):
            return False
        if name in USAGE:
            return self._policy.share_usage
        metric = name.removeprefix("alone-").removesuffix("-low").removesuffix("-high")
        if plan is not None and metric == plan.evaluation.weight:
            metric = plan.evaluation.metric  # the weight that belongs to it, e.g. comparable pairs
        return "*" in self._policy.share_metrics or metric in self._policy.share_metrics


def millionths(numbers: Mapping[str, float]) -> tuple[tuple[str, int], ...]:
    """Numbers as an Evaluation carries them: sorted, in 1e-6, those beyond 63 bits left out."""
    fitting = ((name, value) for name, value in sorted(numbers.items()) if abs(value * MILLIONTHS) < 2**63)
    return tuple((name, round(value * MILLIONTHS)) for name, value in fitting)


def _is_id(name: str) -> bool:
    try:
        ID.pack(name)
    except ValueError:
        return False
    return True
