"""[encoding]: how an update becomes whole numbers modulo a power of two.

Source:   docs/secure-aggregation.md, sections 2 and 3; headroom: Kairouz, Liu, Steinke, arXiv 2102.06387.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from schemas.codec import F8, FLOAT8, ID, INTEGER, Many, OneOf, Pair, U, Whole
from schemas.plan.section import Section, not_built
from schemas.staleness import WEIGHT_FULL

ABSENCE = "absence"  # the auxiliary coordinate that carries for how many versions an update stands; bound: the cap
SCALE_BITS_LEAST, SCALE_BITS_MOST = -64, 63
_NOISE_TAIL = 8  # noise beyond so many standard deviations is met once in 10^15


@dataclass(frozen=True, slots=True)
class Clipped(Section):
    """Clipped to a length, clamped in each coordinate, scaled, rounded, wrapped."""

    modulus_bits: U  #: k of the modulus 2^k: bits of a coordinate on the wire
    clip: F8  #: the longest an update may be (L2 norm), above 0; a longer one is scaled down
    clip_inf: F8  #: the largest a coordinate may be, within 0..clip
    scale_bits: Annotated[int, Whole(SCALE_BITS_LEAST, SCALE_BITS_MOST)]  #: f: a coordinate is rounded to 2^-f
    auxiliary: Annotated[
        tuple[tuple[str, float, int], ...], Many(Pair((ID, FLOAT8, INTEGER)), 16)
    ]  #: coordinates behind the parameters: (name, bound above 0, scale bits), in order

    def problems(self) -> list[str]:
        if not (self.clip > 0 and 0 < self.clip_inf <= self.clip):
            return ["encoding.clip must be above 0, and clip_inf within 0..clip"]
        if self.modulus_bits not in (32, 64):
            return ["encoding.modulus_bits must be 32 or 64"]
        found = not_built({"encoding.modulus_bits": (self.modulus_bits, 32)})
        named = [name for name, _, _ in self.auxiliary]
        if len(set(named)) != len(named):
            found.append("encoding.auxiliary names must differ")
        return found

    @property
    def coordinates(self) -> tuple[tuple[str, float, int], ...]:
        """(name, bound, scale bits) of a parameter, named `update`, then of each auxiliary coordinate."""
        return (("update", self.clip_inf, self.scale_bits), *self.auxiliary)


ENCODINGS = OneOf((("clipped", Clipped),))


def headroom(
    *, cohort_max: int, scale: float, bound: float, noise_std: float, trustees: int, modulus_bits: int
) -> bool:
    """Whether the largest legal weighted sum of one coordinate stays below half the modulus."""
    largest = WEIGHT_FULL * cohort_max * (scale * bound + 1) + _NOISE_TAIL * noise_std * math.sqrt(trustees)
    return largest < 2.0 ** (modulus_bits - 1)


def largest_scale_bits(*, cohort_max: int, bound: float, noise_std: float, trustees: int, modulus_bits: int) -> int:
    """The largest f so that scale 2**f passes the headroom check. Raises ValueError when none does."""
    for bits in range(modulus_bits - 1, SCALE_BITS_LEAST - 1, -1):
        if headroom(
            cohort_max=cohort_max,
            scale=2.0**bits,
            bound=bound,
            noise_std=noise_std,
            trustees=trustees,
            modulus_bits=modulus_bits,
        ):
            return bits
    raise ValueError(f"no scale fits {modulus_bits} bits with cohorts of {cohort_max} and bound {bound:g}")
