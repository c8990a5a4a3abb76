"""What a plan means for those who have to agree to it: in days, bytes and shares instead of parameters.

Knows:    arithmetic over a Plan and one assumption, the expected seconds from version to version.
Never:    judges whether a plan is valid (Plan does) or knows a broker.
"""

from dataclasses import dataclass

from schemas.plan import Plan
from schemas.records import CHUNK_BYTES
from schemas.topics import UPDATES_KEPT_DAYS

DAY_S = 24 * 3600
_RECORDS_BYTES = 2_500  # an offer with its keys and signatures, a receipt, an evaluation, presence
_CHUNK_EXTRA_BYTES = 100  # tag, digest and Kafka's own header of each chunk
_STATE_VECTORS = {"average": 0, "momentum": 1, "adagrad": 1, "yogi": 2, "adam": 2}


@dataclass(frozen=True, slots=True)
class PlanMeaning:
    """The consequences of one plan at one expected time of a version.

    round_s         that time
    absence_s       a site may be away this long and its finished update still counts
    duration_s      from version 0 to the last one
    up_bytes, down_bytes    what one site sends and fetches in a day when it takes part in every version
    disk_bytes      on the broker, when bodies of all sites and the versions kept have gathered
    recompute_s     a version can be computed again from the log for this long: its base and its updates are still there
    share_most      the largest part of one version that can be one site's
    """

    round_s: float
    absence_s: float
    duration_s: float
    up_bytes: int
    down_bytes: int
    disk_bytes: int
    recompute_s: float
    share_most: float


def meaning(plan: Plan, round_s: float) -> PlanMeaning:
    """What `plan` means if a version takes `round_s` seconds on average; `round_s` is above 0."""
    duration_s = round_s * plan.stop.versions
    if plan.stop.time_s:
        duration_s = min(duration_s, float(plan.stop.time_s))
    rounds_a_day = min(DAY_S, duration_s) / round_s
    model_bytes = 4 * plan.parameters
    return PlanMeaning(
        round_s=round_s,
        absence_s=min(plan.aggregation.staleness_max * round_s, duration_s),  # none outlasts the study
        duration_s=duration_s,
        up_bytes=round(rounds_a_day * (_sealed(plan.body_bytes) + _RECORDS_BYTES)),
        down_bytes=round(rounds_a_day * (_sealed(model_bytes) + _RECORDS_BYTES)),
        disk_bytes=_disk_bytes(plan, round_s, duration_s),
        recompute_s=min((plan.storage.versions_kept - 1) * round_s, UPDATES_KEPT_DAYS * DAY_S),
        share_most=_share_most(plan),
    )


def _share_most(plan: Plan) -> float:
    """One fresh site in the smallest cohort among the stalest; one seldom heard counts up to the cap."""
    cap = plan.aggregation.absence_cap
    return 4 * cap / (4 * cap + plan.aggregation.cohort_min - 1)


def _sealed(size_bytes: int) -> int:
    return size_bytes + _CHUNK_EXTRA_BYTES * -(-size_bytes // CHUNK_BYTES)


def _disk_bytes(plan: Plan, round_s: float, duration_s: float) -> int:
    """Sites x body x versions within the retention, and the versions kept with the optimiser's state."""
    kept_s = min(duration_s, UPDATES_KEPT_DAYS * DAY_S)
    updates = plan.sites_expected * -(-int(kept_s) // max(1, int(round_s)))
    vectors = 1 + _STATE_VECTORS[plan.aggregation.server_optimiser]
    versions = min(plan.storage.versions_kept, plan.stop.versions + 1) + 1
    return updates * (_sealed(plan.body_bytes) + _RECORDS_BYTES) + versions * vectors * _sealed(4 * plan.parameters)
