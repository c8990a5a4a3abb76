"""What the presets fedavg, fedasync and fedbuff mean in goal, minimum, deadline and staleness table.

Knows:    the same buffer serves all three; a preset is nothing but defaults that its author may override.
Source:   FedAvg arXiv 1602.05629, FedAsync arXiv 1903.03934 (tables: section 5), FedBuff arXiv 2106.06639.
"""

from collections.abc import Mapping
from typing import Any

from schemas.staleness import Constant, CutOff, Hinge, Polynomial, Staleness, table

EXAMPLES = "examples"  # the auxiliary coordinate that carries a site's number of examples
DEADLINE_S = 600.0
_TABLES: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "polynomial": ("exponent",),
    "hinge": ("slope", "late_from"),
}


def goal_of(preset: str, sites: int) -> int:
    """Offers that close a cohort: all sites (fedavg), one (fedasync), about two thirds (fedbuff)."""
    if preset == "fedasync":
        return 1
    return sites if preset == "fedavg" else max(1, round(2 * sites / 3))


def minimum_of(goal: int, sites: int) -> int:
    """Offers that are enough at the deadline: half the sites, at least three where the goal allows it."""
    return min(goal, max(3, -(-sites // 2)))


def deadline_s(goal: int, minimum: int) -> float:
    """Ten minutes where a smaller cohort is allowed, else none."""
    return DEADLINE_S if minimum < goal else 0.0


def absence_step(optimiser: str, cap: int, goal: int, sites: int) -> float:
    """What the server's rate is multiplied by where absence weighs: updates travel divided by the cap, and stand for
    sites / goal versions in the mean. Optimisers that divide by the size of what they see need no such factor.
    """
    return cap * goal / sites if cap > 1 and optimiser in ("average", "momentum") else 1.0


def staleness_of(given: Mapping[str, Any], problems: list[str]) -> tuple[int, ...]:
    """The weight table of an [aggregation] section; what is wrong with it joins `problems`."""
    name = given["staleness"] or ("constant" if given["preset"] == "fedavg" else "polynomial")
    if name not in _TABLES:
        problems.append(f"aggregation.staleness `{name}` is none of {', '.join(_TABLES)}")
        return ()
    others = {key for keys in _TABLES.values() for key in keys} - set(_TABLES[name])
    problems += [f"aggregation.{key} does not belong to {name}" for key in sorted(others) if given[key] is not None]
    values = {key: given[key] for key in _TABLES[name] if given[key] is not None}
    negative = [key for key, value in values.items() if value < 0]
    problems += [f"aggregation.{key} must not be negative" for key in negative]
    last = given["staleness_max"]
    if not 0 <= last <= 1024:
        problems.append(f"aggregation.staleness_max {last} is not within 0..1024")
        return ()
    kinds: Mapping[str, type[Any]] = {"constant": Constant, "polynomial": Polynomial, "hinge": Hinge}
    inner: Staleness = kinds[name](**values)
    return () if negative else table(CutOff(inner, last))
