"""What one key of a plan.toml may hold, and all that is said of it: default, words, where it stood before."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from schemas.codec import ID
from schemas.plan import Plan


class Kind(Enum):
    """The type of a key's value; the text says what it must be."""

    TEXT = "a text"
    ID = "a text that is an id"
    FLAG = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a finite number"
    IDS = "a list of names"
    OPTIONS = "a table of texts"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What `plan init` knows of a plan: its task's word, and the names that are wanted."""

    study: str
    entry: str
    sites: tuple[str, ...]
    parameters: int
    metric: str
    weight: str
    higher_is_better: bool

    @property
    def names(self) -> Mapping[str, object]:
        """What a comment of the template may name."""
        direction = "higher" if self.higher_is_better else "lower"
        return {"parameters": self.parameters, "metric": self.metric, "weight": self.weight, "direction": direction}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section.

    default   the value where it is left out; None where that follows from other keys
    comment   what `plan init` says of it; may name the task's {metric}, {weight}, {direction} and {parameters}
    written   the value that `plan init` writes; without it the key is shown with its default behind a #
    example   what is shown of a key that has no value unless another one is chosen
    shown     whether `plan init` shows it at all
    read      its value in a whole plan, where that is not the record's field of the same name
    field     the record's field, where its name differs
    was       `section.key` of older plans
    also      what others call it
    empty     what is said of an empty list, where none may be
    """

    kind: Kind
    default: Any = None
    comment: str = ""
    required: bool = False
    written: Callable[[Beginning], Any] | None = None
    example: Any = None
    shown: bool = True
    read: Callable[[Plan], Any] | None = None
    field: str = ""
    was: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    empty: str = ""

    def typed(self, value: Any) -> Any:
        """The value as its kind wants it; True is no number. Raises ValueError with what stands behind the name."""
        if not self._fits(value):
            raise ValueError(f" must be {self.kind.value.partition(' that ')[0]}, got {value!r:.60} ({_type(value)})")
        if self.kind is Kind.NUMBER:
            return float(value) + 0.0  # minus zero becomes zero: one encoding each
        if self.kind is Kind.ID:
            _check_ids([value])
        if self.kind is not Kind.IDS:
            return value
        _check_ids(value)
        if self.empty and not value:
            raise ValueError(f" is empty: {self.empty}")
        return tuple(value)

    def _fits(self, value: Any) -> bool:
        match self.kind:
            case Kind.TEXT | Kind.ID:
                return isinstance(value, str)
            case Kind.FLAG:
                return isinstance(value, bool)
            case Kind.WHOLE:
                return type(value) is int
            case Kind.NUMBER:
                return type(value) in (int, float) and math.isfinite(value)
            case Kind.IDS:
                return isinstance(value, list) and all(isinstance(name, str) for name in value)
            case Kind.OPTIONS:
                return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def always(value: Any) -> Callable[[Beginning], Any]:
    """For `written`: the same value for every task."""
    return lambda _: value


def _check_ids(names: list[str]) -> None:
    for name in names:
        try:
            ID.pack(name)
        except ValueError as error:
            raise ValueError(f": {error}") from None
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f" names something twice: {', '.join(twice)}")


def _type(value: Any) -> str:
    return type(value).__name__
