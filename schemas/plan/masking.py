"""[masking]: who holds masks, and how offers and masks are sealed.

Source:   docs/secure-aggregation.md, section 2.
"""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import COUNT, ID, Id, Many, Maybe, Text, U
from schemas.plan.section import Section, not_built
from schemas.records import TRUSTEES_MAX


@dataclass(frozen=True, slots=True)
class Masking(Section):
    """Trustees and what they hold to; without trustees nothing is masked."""

    trustees: Annotated[tuple[str, ...], Many(ID, TRUSTEES_MAX)]  #: names of members, in order; empty: no masks
    aggregate_interval_s: U  #: seconds that a trustee lets pass between two sums; 0: none
    aggregates_max: Annotated[int | None, Maybe(COUNT)]  #: sums that a trustee gives in this study; none: no limit
    offer_age_max_s: U  #: seconds for which a retired key still verifies and opens
    prg: Id  #: what makes a mask of a seed: `aes-256-ctr`
    kem: Annotated[str, Text(40)]  #: what seals seeds and body keys: `MLKEM768_X25519`

    def problems(self) -> list[str]:
        return not_built(
            {
                "masking.trustees": (list(self.trustees), []),
                "masking.prg": (self.prg, "aes-256-ctr"),
                "masking.kem": (self.kem, "MLKEM768_X25519"),
                "masking.aggregate_interval_s": (self.aggregate_interval_s, 0),
            }
        )
