"""[data]: what a site's data must be like."""

from dataclasses import dataclass

from schemas.codec import F8
from schemas.plan.section import Section

BAD_RECORDS_MOST = 0.5


@dataclass(frozen=True, slots=True)
class DataRule(Section):
    """How far a site's data may break the task's data contract."""

    bad_records_max: F8  #: share of a site's records that may break the contract and are left out, 0..0.5; 0: none

    def problems(self) -> list[str]:
        if 0 <= self.bad_records_max <= BAD_RECORDS_MOST:
            return []
        return [f"data.bad_records_max must lie in 0..{BAD_RECORDS_MOST:g}: with more, the data have to be looked at"]
