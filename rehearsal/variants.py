"""The plan that is asked about and its alternatives: other values of any field, and the presets.

Knows:    a plan's text as TOML tables; every alternative is checked as a plan of its own.
Never:    plays anything.
"""

import itertools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning.places import look_beside
from registry.plans.authoring import to_find_a_plan
from registry.plans.draft import Draft, draft_of
from schemas.errors import LocalError
from schemas.plan import PRESETS, Plan

VARIANTS_MAX = 16  # more could not be told apart in a figure
THIS = "this plan"
_PRESET_KEPT = (
    "server_optimiser",
    "server_lr",
    "beta1",
    "beta2",
    "denominator_floor",
    "examples",
    "examples_max",
    "staleness_max",
)

Tables = Mapping[str, Mapping[str, Any]]
Author = Callable[[Draft], Plan]


@dataclass(frozen=True, slots=True)
class Variant:
    """One plan to play, or the reason why it is none; `draft` is its text."""

    label: str
    draft: Draft | None = None
    plan: Plan | None = None
    refused: str = ""


def read_tables(path: Path) -> Tables:
    """A plan's sections; its task is found beside it, too.

    Raises LocalError when the file cannot be read or is no plan's text.
    """
    if path.suffix == ".plan":
        raise LocalError(
            f"{path} is signed: a signed plan does not name its sites", hint="give the plan.toml it was made from"
        )
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}", hint=to_find_a_plan(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalError(f"{path}: not valid TOML: {error}") from None
    look_beside(path, draft_of(tables, where=str(path)).entry)
    return tables


def with_sites(tables: Tables, sites: int | None) -> Tables:
    """The same plan for `sites` sites with invented names; None leaves its own."""
    if sites is None:
        return tables
    return {**tables, "members": {"sites": [f"site-{number + 1}" for number in range(sites)]}}


def variants(tables: Tables, vary: Sequence[str], author: Author, *, presets: bool, where: str) -> list[Variant]:
    """The plan itself, the presets if wanted, then every combination of the values in `vary`.

    vary    `section.key=value,value`, e.g. `aggregation.goal=2,4,8`; values are TOML, a bare word is a text
    Raises LocalError for a `vary` that cannot be read, names no field or gives it another type, and for too many; where
    values do not go together the plan becomes a refused Variant.
    """
    found = [_variant(THIS, tables, author, where)]
    found += [_preset(name, tables, author, where) for name in PRESETS if presets]
    axes = [_axis(text) for text in vary]
    combinations = list(itertools.product(*axes)) if axes else []
    if len(found) + len(combinations) > VARIANTS_MAX:
        raise LocalError(
            f"{len(found) + len(combinations)} plans to play, at most {VARIANTS_MAX} can be shown side by side",
            hint="vary fewer values at a time",
        )
    for chosen in combinations:
        label = ", ".join(f"{key} {_text(value)}" for _, key, value in chosen)
        changed = {name: dict(section) for name, section in tables.items()}
        for section, key, value in chosen:
            changed.setdefault(section, {})[key] = value
        _check_varied(label, changed)
        found.append(_variant(label, changed, author, where))
    return found


def _check_varied(label: str, tables: Tables) -> None:
    """The plan was read before: what its text cannot be now is a mistake in the command."""
    try:
        draft_of(tables, where=f"--vary {label}")
    except LocalError as error:
        raise LocalError(str(error), hint="`wardround plan init` shows every field with its default") from None


def _variant(label: str, tables: Tables, author: Author, where: str) -> Variant:
    try:
        draft = draft_of(tables, where=where)
        return Variant(label, draft, author(draft))
    except LocalError as error:
        return Variant(label, refused=str(error).removeprefix(f"{where}: "))


def _preset(name: str, tables: Tables, author: Author, where: str) -> Variant:
    """The preset with its own goal, minimum, deadline and table, and the plan's server step."""
    kept = {key: value for key, value in tables.get("aggregation", {}).items() if key in _PRESET_KEPT}
    return _variant(f"preset {name}", {**tables, "aggregation": {"preset": name, **kept}}, author, where)


def _axis(text: str) -> list[tuple[str, str, Any]]:
    name, equals, values = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key and values.strip()):
        raise LocalError(f"--vary `{text}` is no list of values", hint="for example --vary aggregation.goal=2,4,8")
    return [(section, key, _value(one.strip())) for one in values.split(",")]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
