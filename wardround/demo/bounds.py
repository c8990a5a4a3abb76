"""What a person may bound of a rehearsal: versions, minutes, sites.

Knows:    the plan that is played says so itself; the author's file stays as it is.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from registry.plans.draft import Draft
from schemas.errors import LocalError

_OF_SITES = ("goal", "minimum", "cohort_min", "cohort_max")


@dataclass(frozen=True, slots=True)
class Bounds:
    """None: as the plan says. A plan that ends earlier by itself ends earlier."""

    versions: int | None = None
    minutes: float | None = None
    sites: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("versions", 1), ("minutes", 0.1), ("sites", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value <= 10**6:
                raise LocalError(f"--{name} {value} does not do", hint=f"at least {least}, at most 1,000,000")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Bounds":
        """The options that `add_arguments` has added."""
        return cls(arguments.versions, arguments.minutes, arguments.sites)

    def words(self) -> list[str]:
        """The options again, for another process."""
        given = (("--versions", self.versions), ("--minutes", self.minutes), ("--sites", self.sites))
        return [word for name, value in given if value is not None for word in (name, str(value))]

    def applied(self, draft: Draft) -> Draft:
        """The draft within these bounds. With fewer sites goal and minimum shrink in proportion."""
        values = {name: dict(section) for name, section in draft.values.items()}
        sites = draft.sites
        if self.sites is not None and self.sites < len(sites):
            values["members"]["sites"] = sites[: self.sites]
            values["aggregation"] |= _fewer(values["aggregation"], self.sites, len(sites))
        if self.versions is not None:
            values["stop"]["versions"] = min(self.versions, values["stop"]["versions"])
        if self.minutes is not None:
            seconds = max(1, round(self.minutes * 60))
            values["stop"]["time_s"] = min(seconds, values["stop"]["time_s"] or seconds)
        return replace(draft, values=values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `Bounds`."""
    parser.add_argument("--versions", type=int, metavar="N", help="end after so many versions, not the plan's number")
    parser.add_argument("--minutes", type=float, metavar="M", help="end after so many minutes of learning")
    parser.add_argument("--sites", type=int, metavar="N", help="with the first N sites of the plan alone")


def _fewer(aggregation: Mapping[str, Any], now: int, before: int) -> dict[str, int]:
    given = {name: aggregation[name] for name in _OF_SITES if aggregation[name] is not None}
    return {name: max(1, round(value * now / before)) for name, value in given.items()}
