"""[storage]: what stays on the broker."""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import ID, Many, U, Whole
from schemas.plan.section import Section
from schemas.records import AUDITORS_MAX


@dataclass(frozen=True, slots=True)
class Storage(Section):
    """What stays on the broker, and who may audit bodies."""

    versions_kept: Annotated[int, Whole(2, 1000)]  #: the newest versions of the model
    audit_days: U  #: days for which bodies of updates are kept
    auditors: Annotated[
        tuple[str, ...], Many(ID, AUDITORS_MAX, key=str)
    ]  #: members that may open updates, to recompute a version
