"""docs/states.md draws what the code decides by: `python -m tests.test_states` writes it anew."""

import re
from collections.abc import Mapping, Set
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from coordinator.core import round as rounds
from participant.core import stage as updates

PAGE = Path(__file__).parents[1] / "docs/states.md"
MACHINES: dict[str, Mapping[Any, Enum]] = {"round": rounds.TABLE, "update": updates.TABLE}


def drawn(table: Mapping[Any, Enum]) -> str:
    """A picture, then what each state and each fact means."""
    states = list(dict.fromkeys(stage for (before, _), after in table.items() for stage in (before, after)))
    facts = list(dict.fromkeys(fact for _, fact in table))
    arrows = [f"    {_word(before)} --> {_word(after)}: {_word(fact)}" for (before, fact), after in table.items()]
    ends = [f"    {_word(state)} --> [*]" for state in states if all(before is not state for before, _ in table)]
    picture = ["```mermaid", "stateDiagram-v2", f"    [*] --> {_word(states[0])}", *arrows, *ends, "```"]
    return "\n".join([*picture, "", *_meanings("state", states), "", *_meanings("fact", facts)])


def _meanings(what: str, members: list[Enum]) -> list[str]:
    return [f"| {what} | means |", "| -- | -- |", *(f"| {_word(one)} | {one.value} |" for one in members)]


def _word(member: Enum) -> str:
    return member.name.lower()


def page() -> str:
    """The page as the code has it: what stands between the marks of each machine is drawn."""
    text = PAGE.read_text()
    for name, table in MACHINES.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        text = f"{before}<!-- {name} -->\n\n{drawn(table)}\n\n{end}{after}"
    return text


def test_the_page_draws_the_tables_as_they_are() -> None:
    assert PAGE.read_text() == page()


def test_every_machine_has_its_place_on_the_page() -> None:
    assert re.findall("<!-- end of (.*) -->", PAGE.read_text()) == list(MACHINES)


@pytest.mark.parametrize(
    ("table", "ends"),
    [(rounds.TABLE, rounds.ENDED), (updates.TABLE, {updates.Stage.SETTLED})],
    ids=list(MACHINES),
)
def test_every_state_but_the_first_is_reached_and_every_state_but_the_ends_is_left(
    table: Mapping[Any, Enum], ends: Set[Enum]
) -> None:
    first = next(iter(table))[0]
    states = {state for state in type(first)}  # noqa: C416  # an enum is no Iterable to a type checker
    assert {before for before, _ in table} == states - ends
    assert {*table.values(), first} == states


if __name__ == "__main__":
    PAGE.write_text(page())
