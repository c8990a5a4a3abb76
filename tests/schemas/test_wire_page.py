"""docs/wire.md has a table of every value on the wire, made from the source, and no field is without a meaning."""

import inspect

from schemas import plan, records
from schemas.codec import Record, Struct
from tests.schemas import wire


def test_every_field_on_the_wire_has_a_meaning() -> None:
    assert wire.without_meaning() == []


def test_the_tables_of_the_page_are_those_of_the_source() -> None:
    text = wire.PAGE.read_text(encoding="utf-8")
    assert text == wire.prose() + wire.tables(), "run `python -m tests.schemas.wire`"


def test_every_value_that_records_and_plan_export_has_a_table() -> None:
    exported = {
        value
        for module in (records, plan)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Struct)
    }
    older = {plan.PlanOfVersion2, plan.PlanOfVersion3}  # told by their layouts
    assert exported - set(wire.described()) == {Record, plan.Section} | older
