"""[data]: what a site's data must be like."""

from registry.plans.form import Form
from registry.plans.keys import Key, Kind
from schemas.plan import DataRule

FORM = Form(
    name="data",
    keys={
        "bad_records_max": Key(
            Kind.NUMBER, 0.0, "share of a site's records that may break the data contract and be left out"
        ),
    },
    record=DataRule,
)
