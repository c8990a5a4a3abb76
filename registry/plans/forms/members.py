"""[members]: who is expected to take part."""

from typing import Any

from registry.plans.form import Form, Making
from registry.plans.keys import Key, Kind


def _fields(making: Making) -> dict[str, Any]:
    return {"sites_expected": len(making.values["members"]["sites"])}


FORM = Form(
    name="members",
    keys={
        "sites": Key(
            Kind.IDS,
            required=True,
            written=lambda new: new.sites,
            also=("clients", "hospitals", "institutions"),
            empty="name the sites that are expected to take part",
        ),
    },
    derive=_fields,
)
