"""[storage]: what stays on the broker."""

from typing import Any

from registry.plans.form import Form, Making
from registry.plans.keys import Key, Kind
from registry.plans.meaning import PlanMeaning
from runtime.units import human_bytes, human_time
from schemas.plan import Plan, Storage
from schemas.topics import UPDATES_KEPT_DAYS


def _fields(making: Making) -> dict[str, Any]:
    given = making.values["storage"]
    if given["audit_days"] != UPDATES_KEPT_DAYS:
        making.problems.append(
            f"storage.audit_days {given['audit_days']}: the broker keeps updates for {UPDATES_KEPT_DAYS} days in every "
            "study, no other value is possible yet; leave it out"
        )
    return {"auditors": tuple(sorted(given["auditors"]))}


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    return [
        ("disk on the broker", f"{human_bytes(means.disk_bytes)}, with updates kept {UPDATES_KEPT_DAYS} days"),
        ("audit", f"a version can be computed again from the log for {human_time(means.recompute_s)}"),
    ]


def _warnings(plan: Plan, round_s: float) -> list[str]:
    if plan.storage.audit_days <= UPDATES_KEPT_DAYS:
        return []
    return [
        f"audit_days {plan.storage.audit_days}: the broker keeps updates for {UPDATES_KEPT_DAYS} days, later "
        "versions can be explained but not recomputed"
    ]


def _off(plan: Plan) -> list[str]:
    if plan.storage.auditors:
        return []
    return ["no auditor: only the coordinator's key opens the updates for a recomputation"]


FORM = Form(
    name="storage",
    keys={
        "versions_kept": Key(Kind.WHOLE, 10, "the newest versions of the model stay on the broker"),
        "audit_days": Key(
            Kind.WHOLE,
            UPDATES_KEPT_DAYS,
            "how long the broker keeps updates, in every study; no other value is possible yet",
        ),
        "auditors": Key(Kind.IDS, (), "members of the roster that may open updates to recompute a version"),
    },
    record=Storage,
    derive=_fields,
    words=_words,
    warnings=_warnings,
    off=_off,
)
