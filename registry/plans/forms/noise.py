"""[noise]: what is added before anything can be read.

Source:   docs/secure-aggregation.md, section 2, for the default.
"""

from typing import Any

from registry.plans.form import Form, Making, first
from registry.plans.keys import Key, Kind
from schemas.plan import Noise, Plan

_SMUDGE_STD = 16.0  # the least that hides what rounding tells, where trustees sum


def noise_std(making: Making) -> float:
    """The standard deviation that a plan has: what its author gave, or what trustees need."""
    return float(
        first(making.values["noise"]["noise_std"], _SMUDGE_STD if making.values["masking"]["trustees"] else 0.0)
    )


def _fields(making: Making) -> dict[str, Any]:
    return {"noise_std": noise_std(making)}


def _off(plan: Plan) -> list[str]:
    if plan.noise.noise_std:
        return []
    return ["no noise: nothing is promised about what a model reveals of a single patient"]


FORM = Form(
    name="noise",
    keys={
        "noise_std": Key(
            Kind.NUMBER, comment="noise is not built yet", was=("privacy.noise_std",), also=("sigma", "std")
        ),
    },
    record=Noise,
    derive=_fields,
    off=_off,
)
