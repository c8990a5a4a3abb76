"""[stop]: when a study ends."""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import FLOAT8, Maybe, U, Whole
from schemas.plan.section import Section

VERSIONS_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class StopRule(Section):
    """When a study ends: by whichever comes first."""

    versions: Annotated[int, Whole(1, VERSIONS_MOST)]  #: the last version there will be
    patience: U  #: versions without progress; 0: never mind
    target: Annotated[float | None, Maybe(FLOAT8)]  #: value of the primary metric that is enough; none: no value is
    time_s: U  #: seconds; 0: no limit
