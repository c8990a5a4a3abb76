"""Rules between the sections of a plan, which every role applies when it loads one.

Source:   docs/secure-aggregation.md, section 2 (headroom, least cohorts).
"""

import math

from schemas.plan.aggregation import Aggregation
from schemas.plan.encoding import ABSENCE, SCALE_BITS_LEAST, SCALE_BITS_MOST, Clipped, headroom
from schemas.plan.masking import Masking
from schemas.plan.noise import Noise
from schemas.plan.stop import StopRule

COORDINATES_MAX = 2**29  # so many words of 32 bits make a body of 2 GiB
TWO_VECTORS_MAX = 2**28
MASKED_COHORT_LEAST = 3


def of_cohorts(rule: Aggregation, masking: Masking, sites_expected: int, parameters: int) -> list[str]:
    """What contradicts the number of sites, masks or the size of the model."""
    found = []
    if masking.trustees and rule.cohort_min < MASKED_COHORT_LEAST:
        found.append(f"masked plans need cohorts of {MASKED_COHORT_LEAST} or more: use FedBuff")
    if rule.cohort_min > sites_expected:
        found.append(f"aggregation.cohort_min {rule.cohort_min} is above the {sites_expected} sites of the study")
    if rule.server_optimiser in ("yogi", "adam") and parameters > TWO_VECTORS_MAX:
        found.append(f"{rule.server_optimiser} keeps two vectors: at most {TWO_VECTORS_MAX} parameters")
    return found


def of_end(masking: Masking, stop: StopRule) -> list[str]:
    if masking.aggregates_max is None or masking.aggregates_max >= stop.versions:
        return []
    return ["masking.aggregates_max is below stop.versions: the study could not reach its end"]


def of_weights(rule: Aggregation, encoding: Clipped, masking: Masking) -> list[str]:
    """Example weights and absence each travel in an auxiliary coordinate."""
    carried = {name: bound for name, bound, _ in encoding.auxiliary}
    found = []
    if rule.examples is not None and rule.examples not in carried:
        found.append(f"aggregation.examples `{rule.examples}` must be one of encoding.auxiliary")
    if carried.get(ABSENCE, 1.0) != rule.absence_cap or (rule.absence_cap == 1 and ABSENCE in carried):
        found.append(
            f"aggregation.absence_cap {rule.absence_cap} must be the bound of `{ABSENCE}` in encoding.auxiliary "
            "(1: it is not there)"
        )
    if rule.absence_cap > 1 and masking.trustees:
        found.append(
            "aggregation.absence_cap lets one site outweigh its cohort where trustees cannot see it: not with masking; "
            "leave it out, or plan deadlines within which all are heard"
        )
    return found


def of_headroom(rule: Aggregation, encoding: Clipped, masking: Masking, noise: Noise) -> list[str]:
    """Whether the sum of a full cohort stays within the modulus, in every coordinate."""
    found = []
    for name, bound, bits in encoding.coordinates:
        if bound <= 0 or not SCALE_BITS_LEAST <= bits <= SCALE_BITS_MOST:
            found.append(
                f"encoding.auxiliary `{name}` needs a bound above 0 and scale bits within "
                f"{SCALE_BITS_LEAST}..{SCALE_BITS_MOST}"
            )
        elif not headroom(
            cohort_max=rule.cohort_max,
            scale=2.0**bits,
            bound=bound,
            noise_std=noise.noise_std,
            trustees=len(masking.trustees),
            modulus_bits=encoding.modulus_bits,
        ):
            found.append(
                f"no headroom for `{name}`: scale 2^{bits} with bound {bound:g} and cohorts of "
                f"{rule.cohort_max} overflows {encoding.modulus_bits} bits; lower scale_bits"
            )
    return found


def of_size(encoding: Clipped, parameters: int) -> list[str]:
    """Whether the scale is fine enough for so many parameters, and a body can hold them."""
    found = []
    if 2.0**encoding.scale_bits < 50 * math.sqrt(parameters) / encoding.clip:
        found.append(
            f"scale 2^{encoding.scale_bits} is too coarse for {parameters} parameters and clip {encoding.clip:g}: "
            "rounding would cost more than 1 % of the clip; raise clip, or lower cohort_max"
        )
    d = parameters + len(encoding.auxiliary)
    if d > COORDINATES_MAX:
        found.append(f"{d} coordinates with the auxiliary ones; a body holds at most {COORDINATES_MAX}")
    return found
