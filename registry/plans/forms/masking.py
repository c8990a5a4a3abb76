"""[masking]: who holds masks."""

from registry.plans.form import Form
from registry.plans.keys import Key, Kind
from schemas.plan import Masking, Plan

_OFFER_AGE_MAX_S = 60 * 24 * 3600


def _off(plan: Plan) -> list[str]:
    if plan.masking.trustees:
        return []
    readers = " and ".join(["the coordinator", *(f"auditor {name}" for name in plan.storage.auditors)])
    return [f"no masking: {readers} can read each site's update (nobody else can)"]


FORM = Form(
    name="masking",
    keys={
        "trustees": Key(Kind.IDS, (), "masking is not built yet", was=("privacy.trustees",), also=("aggregators",)),
        "aggregate_interval_s": Key(Kind.WHOLE, 0, shown=False, was=("privacy.aggregate_interval_s",)),
        "aggregates_max": Key(Kind.WHOLE, shown=False, was=("privacy.aggregates_max",)),
        "offer_age_max_s": Key(Kind.WHOLE, _OFFER_AGE_MAX_S, shown=False, was=("privacy.offer_age_max_s",)),
        "prg": Key(Kind.TEXT, "aes-256-ctr", shown=False, was=("privacy.prg",)),
        "kem": Key(Kind.TEXT, "MLKEM768_X25519", shown=False, was=("privacy.kem",)),
    },
    record=Masking,
    off=_off,
)
