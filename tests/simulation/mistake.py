"""A mistake that somebody might make, as a value: what it is called, how it is made, and as what it is found."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Mistake:
    """`name` says what somebody got wrong; `found_as` are the breaches that may name it."""

    name: str
    found_as: frozenset[str]
    plant: Callable[[Patch], None]
    kinds: tuple[str, ...]  # of faults under which it shows soon; empty: all


def mistake(plant: Callable[[Patch], None], *found_as: str, under: tuple[str, ...] = ()) -> Mistake:
    return Mistake(plant.__name__, frozenset(found_as), plant, under)
