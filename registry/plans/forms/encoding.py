"""[encoding]: how an update becomes whole numbers.

Source:   docs/secure-aggregation.md, section 2, for the defaults.
"""

import math
from typing import Any

from learning.advice import clip_for
from registry.plans.form import Form, Making, first
from registry.plans.forms.noise import noise_std
from registry.plans.forms.training import RATE, STEPS
from registry.plans.keys import Beginning, Key, Kind
from registry.plans.meaning import PlanMeaning
from runtime.units import human_bytes
from schemas.plan import ABSENCE, ENCODINGS, SCALE_BITS_MOST, Clipped, Plan, largest_scale_bits

SMALL_MODEL = 4096  # parameters; up to here one coordinate may take the whole clip


def _fields(making: Making) -> dict[str, Any] | None:
    given, rule = making.values["encoding"], making.fields.get("aggregation")
    clip, bits = given["clip"], given["modulus_bits"]
    if clip <= 0 or bits not in (32, 64):
        making.problems.append("encoding.clip must be above 0 and encoding.modulus_bits 32 or 64")
        return None
    if rule is None:
        return None
    clip_inf = first(given["clip_inf"], clip if making.facts.parameters <= SMALL_MODEL else clip / 8)

    def scale_bits(bound: float) -> int:
        most = largest_scale_bits(
            cohort_max=rule.cohort_max,
            bound=bound,
            noise_std=noise_std(making),
            trustees=len(making.values["masking"]["trustees"]),
            modulus_bits=bits,
        )
        return min(SCALE_BITS_MOST, most)

    bounds = [(ABSENCE, float(rule.absence_cap))] if rule.absence_cap > 1 else []
    bounds += [(rule.examples, 1.0)] if rule.examples else []
    try:
        auxiliary = tuple((name, bound, scale_bits(bound)) for name, bound in bounds)
        scale = given["scale_bits"] if given["scale_bits"] is not None else scale_bits(clip_inf)
    except ValueError as error:
        making.problems.append(f"encoding: {error}")
        return None
    return {"clip_inf": clip_inf, "scale_bits": scale, "auxiliary": auxiliary}


def _clip_of(new: Beginning) -> float:
    """Above what an update of the template's training can be."""
    return max(1.0, clip_for(RATE * STEPS * math.sqrt(new.parameters) / 2))


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    return [("a site's traffic", f"up {human_bytes(means.up_bytes)}, down {human_bytes(means.down_bytes)} a day")]


FORM = Form(
    name="encoding",
    keys={
        "kind": Key(Kind.TEXT, "clipped", shown=False, was=("privacy.encoding",)),
        "modulus_bits": Key(Kind.WHOLE, 32, shown=False, was=("privacy.modulus_bits",)),
        "clip": Key(
            Kind.NUMBER,
            1.0,
            "most an update may be long; longer ones are scaled down",
            written=_clip_of,
            was=("privacy.clip",),
            also=("clip_norm", "clipping_norm", "max_norm", "max_grad_norm"),
        ),
        "clip_inf": Key(
            Kind.NUMBER, comment="most one coordinate may be", was=("privacy.clip_inf",), also=("clip_value",)
        ),
        "scale_bits": Key(
            Kind.WHOLE, comment="fixed point: the largest that cannot overflow", was=("privacy.scale_bits",)
        ),
    },
    record=Clipped,
    kinds=ENCODINGS,
    derive=_fields,
    words=_words,
)
