"""What every section of a plan is: one frozen value, and the rules that it holds by itself.

Knows:    bounds stand with the fields; a rule of several fields is a sentence of `problems`, so that an author hears of
          all of them at once.
Never:    holds rules between sections (schemas.plan.between does).
"""

from typing import Any

from schemas.codec import Struct


class Section(Struct):
    """Base of the sections: what contradicts itself in one is named by it, and refused by the Plan that holds it."""

    __slots__ = ()

    def problems(self) -> list[str]:
        """One sentence for each rule that is broken, beginning with section and key."""
        return []


def not_built(wanted: dict[str, tuple[Any, Any]]) -> list[str]:
    """What this software cannot do yet: by `section.key`, the value and the only one that runs."""
    return [
        f"{name} = {value!r} is not built yet: this software runs {only!r}"
        for name, (value, only) in wanted.items()
        if value != only
    ]
