"""The tables of docs/wire.md, made from the records: every field with its type, its bound and what its comment says.

From the repository's root: python -m tests.schemas.wire
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from pathlib import Path

import mdformat

from schemas import codec, plan, records
from schemas.codec import Codec, Record, Struct
from schemas.plan import version_3
from schemas.records import cohort
from schemas.records.site import PresenceOfVersion1

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
MARK = "<!-- What follows is made from schemas/ by `python -m tests.schemas.wire`. -->"
INSIDE: tuple[type[Struct], ...] = (
    records.BodyRef, records.BodyAt, records.KeyBox, records.Sealed, records.MemberKey, records.Summary,
    records.RequestEntry, records.Decided, records.Measured,
)  # fmt: skip
SECTIONS: tuple[type[Struct], ...] = (
    plan.TaskSpec, plan.Training, plan.Aggregation, plan.Clipped, plan.Masking, plan.Noise, plan.EvaluationRule,
    plan.StopRule, plan.Storage, plan.DataRule,
)  # fmt: skip
OLDER: tuple[type[Struct], ...] = (
    records.OpenEvaluation, PresenceOfVersion1, version_3.Layout3, version_3.OldAggregation, version_3.OldPrivacy,
)  # fmt: skip
NUMBERS: tuple[type[IntEnum], ...] = (
    records.Role, records.KeyUse, records.KeyState, records.Stop, records.Outcome, records.Action, records.SiteState,
    records.Trouble,
)  # fmt: skip
NEWER: dict[type[Struct], tuple[type[Struct], ...]] = {  # where a field of an older layout is explained
    version_3.Layout3: (plan.Plan,),
    version_3.OldAggregation: (plan.Aggregation,),
    version_3.OldPrivacy: (plan.Clipped, plan.Masking, plan.Noise, plan.Aggregation),
}


def described() -> tuple[type[Struct], ...]:
    """Every value of the wire that has a table."""
    return (*records.RECORDS, plan.Plan, cohort.CohortBody, *INSIDE, *SECTIONS, *OLDER)


def meanings(cls: type[Struct]) -> dict[str, str]:
    """Field -> what the `#:` behind it, or above it, says; a field without one is missing."""
    source = inspect.getsource(cls)
    lines = source.splitlines()
    found: dict[str, str] = {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            behind = lines[(node.end_lineno or node.lineno) - 1].partition("#: ")[2]
            text = behind or " ".join(_above(lines, node.lineno - 2))
            if text:
                found[node.target.id] = text
    for newer in NEWER.get(cls, ()):
        found = {**meanings(newer), **found}
    return found


def _above(lines: list[str], at: int) -> list[str]:
    """The lines of a `#:` comment that ends at line `at`."""
    first = at
    while first >= 0 and lines[first].strip().startswith("#: "):
        first -= 1
    return [line.strip().removeprefix("#: ") for line in lines[first + 1 : at + 1]]


def type_of(field: Codec) -> str:
    """A codec in the words of the page."""
    match field:
        case codec.Whole(low=0, high=codec.U_MAX):
            return "u"
        case codec.Whole(low=low, high=high):
            return "i" if low == -(2**63) else f"{low}..{high}"
        case codec.Blob(high=high, exact=exact):
            return {32: "h", 16: "k", 64: "g"}[high] if exact else f"bin, at most {high}"
        case codec.Text(high=high):
            return f"str, at most {high}"
        case codec.Maybe(inner=inner):
            what, comma, bound = type_of(inner).partition(", ")
            return f"{what}?{comma}{bound}"
        case codec.Many(inner=inner, high=high, low=low, key=key):
            count = f"{low} to {high}" if low else f"at most {high}"
            return f"[{type_of(inner)}], {count}{', sorted' if key else ''}"
        case codec.Pair(parts=parts):
            return f"({', '.join(type_of(part) for part in parts)})"
        case codec.Nested(inside=inside):
            return inside.__name__
        case codec.OneOf(kinds=kinds):
            return "one of " + ", ".join(f"`{tag}` {kind.__name__}" for tag, kind in kinds)
    return {codec.ID: "id", codec.FLAG: "b", codec.FLOAT8: "f8"}[field]


def table(cls: type[Struct]) -> Iterator[str]:
    """Heading, what the docstring says, and a row a field."""
    yield f"### {_title(cls)}\n"
    yield inspect.cleandoc(cls.__doc__ or "") + "\n"
    yield "| field | type | meaning |"
    yield "| -- | -- | -- |"
    means = meanings(cls)
    for name, field in cls._fields():
        yield f"| {name} | {type_of(field).replace('|', chr(92) + '|')} | {means[name]} |"
    yield ""


def numbers() -> Iterator[str]:
    """A row for each enumeration."""
    yield "| enumeration | numbers |"
    yield "| -- | -- |"
    for listed in NUMBERS:
        yield f"| {listed.__name__} | {', '.join(f'{one.value} {one.name.lower()}' for one in listed)} |"
    yield ""


def _title(cls: type[Struct]) -> str:
    if not issubclass(cls, Record):
        return cls.__name__
    version = f", schema version {cls.VERSION}" if cls.VERSION > 1 or cls in OLDER else ""
    return f"{cls.__name__} (kind {cls.KIND}{version})"


def tables() -> str:
    """All that stands behind the mark."""
    parts = [MARK, ""]
    chapters: tuple[tuple[str, tuple[type[Struct], ...]], ...] = (
        ("Records", records.RECORDS),
        ("The plan", (plan.Plan, *SECTIONS)),
        ("Values inside records, and the body of a cohort", (*INSIDE, cohort.CohortBody)),
        ("Older layouts that are still read", OLDER),
    )
    for heading, classes in chapters:
        parts += [f"## {heading}\n", *(line for cls in classes for line in table(cls))]
    parts += ["## Numbers with a name\n", *numbers()]
    options = {"wrap": 100, "compact_tables": True}
    return mdformat.text("\n".join(parts), options=options, extensions={"gfm", "tables"})


def prose() -> str:
    """What people wrote above the mark."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0]


def without_meaning() -> list[str]:
    """Every field that no comment explains, as Class.field."""
    return [
        f"{cls.__name__}.{field.name}"
        for cls in described()
        for field in fields(cls)  # type: ignore[arg-type]  # every Struct is a dataclass
        if field.name not in meanings(cls)
    ]


if __name__ == "__main__":
    PAGE.write_text(prose() + tables(), encoding="utf-8")
