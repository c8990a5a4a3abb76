"""A form: all that an author's side knows of one section, in one value.

Knows:    keys, defaults, what follows from other sections, what `plan check` says of it.
Never:    holds the rules that every role applies (schemas.plan does).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.plans.keys import Key
from registry.plans.meaning import PlanMeaning
from schemas.codec import OneOf
from schemas.plan import Plan, Section


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the task says about itself: p, SHA-256 of its folder, body digest of version 0, and its primary metric.

    weight   id of the value that weighs sites in an overall figure, see EvaluationRule
    """

    parameters: int
    code: bytes
    initial: bytes
    metric: str
    higher_is_better: bool
    weight: str = "n-test"


@dataclass(slots=True)
class Making:
    """A plan on its way from an author's values to its record: forms are filled in one after the other.

    values    by section and key, typed, None where the author left out what has no plain default
    fields    of the Plan, as far as they are made
    problems  one sentence each, beginning with section and key
    """

    values: Mapping[str, Mapping[str, Any]]
    facts: TaskFacts
    fields: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def _nothing(making: Making) -> Mapping[str, Any]:
    return {}


def _no_words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    return []


def _no_warnings(plan: Plan, round_s: float) -> list[str]:
    return []


def _nothing_off(plan: Plan) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Form:
    """One section as its author writes it.

    record    what the section becomes; None: `derive` gives fields of the Plan itself
    kinds     of a section that may be one of several, told apart by its key `kind`
    derive    values of the record's fields that are no keys, or not as they were given; None where problems were found
    words     (what, fact) lines of `plan check`
    warnings  what deserves a second look at so many seconds a version
    off       protections that the plan does without
    heading   the template's word behind [section]
    before    the template's lines above it
    """

    name: str
    keys: Mapping[str, Key]
    record: type[Section] | None = None
    kinds: OneOf | None = None
    derive: Callable[[Making], Mapping[str, Any] | None] = _nothing
    words: Callable[[Plan, PlanMeaning], list[tuple[str, str]]] = _no_words
    warnings: Callable[[Plan, float], list[str]] = _no_warnings
    off: Callable[[Plan], list[str]] = _nothing_off
    heading: str = ""
    before: Sequence[str] = ()

    def read(self, table: Any, problems: list[str]) -> dict[str, Any]:
        """The typed values of the keys that it knows, with plain defaults; what is wrong joins `problems`."""
        if not isinstance(table, dict):
            problems.append(f"[{self.name}] must be a table of keys, got {table!r:.60} ({type(table).__name__})")
            return {}
        values: dict[str, Any] = {}
        for name, key in self.keys.items():
            values[name] = key.default
            if name not in table:
                problems += [f"{self.name}.{name} is missing"] if key.required else []
                continue
            try:
                values[name] = key.typed(table[name])
            except ValueError as error:
                problems.append(f"{self.name}.{name}{error}")
        return values

    def fill(self, making: Making) -> None:
        """Make what this section is of the Plan; every field that is out of bounds joins the problems."""
        derived = self.derive(making)
        if derived is None:
            return
        if self.record is None:
            making.fields.update(derived)
            return
        values = {**self._by_field(making.values[self.name]), **derived}
        record = self._record(values, making.problems)
        before = len(making.problems)
        codecs = record._fields() if record else ()
        for name, codec in codecs:
            try:
                codec.pack(values[name])
            except ValueError as error:
                making.problems.append(f"{self.name}.{self._key_of(name)}: {error}")
        if record and len(making.problems) == before:
            making.fields[self.name] = record(**{name: values[name] for name, _ in codecs})

    def shown(self, name: str, plan: Plan) -> Any:
        """The value of a key that its author left out, as the template shows it."""
        key = self.keys[name]
        if key.example is not None:
            return key.example
        if key.default is not None:
            return key.default
        return key.read(plan) if key.read else getattr(getattr(plan, self.name), key.field or name)

    def _record(self, values: Mapping[str, Any], problems: list[str]) -> type[Section] | None:
        if self.kinds is None:
            return self.record
        for tag, kind in self.kinds.kinds:
            if tag == values["kind"] and issubclass(kind, Section):
                return kind
        problems.append(
            f"{self.name}.kind `{values['kind']}` is not known; known: {', '.join(tag for tag, _ in self.kinds.kinds)}"
        )
        return None

    def _by_field(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.keys[name].field or name: value for name, value in values.items()}

    def _key_of(self, field_name: str) -> str:
        return next((name for name, key in self.keys.items() if key.field == field_name), field_name)


@dataclass(frozen=True, slots=True)
class PlanForm:
    """All forms of a plan, in the order in which they are filled in, and the record that they make."""

    forms: tuple[Form, ...]
    record: type[Plan] = Plan

    @property
    def sections(self) -> Mapping[str, Form]:
        return {form.name: form for form in self.forms}


def first(given: Any, default: Any) -> Any:
    """What an author gave, or what follows where nothing was given."""
    return default if given is None else given
