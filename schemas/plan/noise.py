"""[noise]: what is added before anything can be read.

Source:   docs/secure-aggregation.md, sections 2 and 6.
"""

from dataclasses import dataclass

from schemas.codec import F8
from schemas.plan.section import Section, not_built


@dataclass(frozen=True, slots=True)
class Noise(Section):
    """Noise of the trustees; without any nothing is promised of what a model tells of one patient."""

    noise_std: F8  #: standard deviation in units of 2^-scale_bits, of each trustee's noise; 0: none

    def problems(self) -> list[str]:
        return not_built({"noise.noise_std": (self.noise_std, 0.0)})
