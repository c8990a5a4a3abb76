"""Settings: a frozen dataclass from one TOML file and `WARDROUND_…` variables; unknown keys are refused.

Knows:    how a dataclass names its keys: fields are keys, nested dataclasses tables, tuples of them arrays of tables.
Never:    holds a secret: keys are paths to files.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from schemas.errors import LocalError

PREFIX = "WARDROUND_"
T = TypeVar("T")


def load_settings(cls: type[T], path: Path, environ: Mapping[str, str]) -> T:
    """Read `path` into `cls`. `WARDROUND_KAFKA_BOOTSTRAP` overrides `bootstrap` of table `kafka`.

    Relative paths count from the file's folder. Raises LocalError naming file, key, what was wrong and what is allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LocalError(f"{path}: no such settings file", hint="name it with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{path}: cannot be read ({error.__class__.__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise LocalError(f"{path}: not valid TOML: {error}") from None
    return parse_settings(cls, table, environ, where=str(path), folder=path.parent)


def parse_settings(
    cls: type[T], table: Mapping[str, Any], environ: Mapping[str, str], *, where: str, folder: Path
) -> T:
    """As load_settings, from a parsed table."""
    merged = _with_environment(cls, dict(table), environ)
    value: T = _build(cls, merged, where, "", folder)
    return value


def strange_variables(cls: type, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """`WARDROUND_…` variables that are no setting of `cls`, each with the nearest that is one, or an empty text.

    They are no error: others use the prefix too, a cluster's variables for a service of that name above all.
    """
    known = {name.removeprefix(PREFIX): name for name in _variables(cls, PREFIX)}
    found = []
    for name in sorted(environ):
        own = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and own not in known and own != "KAFKA_HOME" and not own.endswith("_DATA"):
            near = difflib.get_close_matches(own, known, n=1)
            found.append((name, known[near[0]] if near else ""))
    return found


def _variables(cls: type, prefix: str) -> Iterator[str]:
    hints = get_type_hints(cls)
    for field in _fields(cls):
        name, inner = prefix + field.name.upper(), hints[field.name]
        if is_dataclass(inner):
            yield from _variables(inner, name + "_")  # type: ignore[arg-type]  # is_dataclass does not narrow to a type
        elif not _is_tables(inner):
            yield name


def _with_environment(
    cls: type, table: dict[str, Any], environ: Mapping[str, str], prefix: str = PREFIX
) -> dict[str, Any]:
    hints = get_type_hints(cls)
    for field in _fields(cls):
        name = prefix + field.name.upper()
        inner = hints[field.name]
        if is_dataclass(inner):
            if not isinstance(table.get(field.name, {}), dict):
                continue  # refused with its name when the value is built
            nested = _with_environment(inner, dict(table.get(field.name, {})), environ, name + "_")  # type: ignore[arg-type]  # is_dataclass does not narrow to a type
            if nested:
                table[field.name] = nested
        elif name in environ and not _is_tables(inner):
            table[field.name] = _from_text(environ[name], inner, name)
    return table


def _from_text(text: str, hint: Any, name: str) -> Any:
    plain = _plain(hint)
    try:
        if plain is bool:
            return {"true": True, "false": False}[text.lower()]
        if plain in (int, float):
            return plain(text)
    except (KeyError, ValueError):
        raise LocalError(f"environment variable {name}: {text!r} is no {plain.__name__}") from None
    return text.split(",") if get_origin(plain) is tuple else text


def _build(cls: type, table: Mapping[str, Any], where: str, at: str, folder: Path) -> Any:
    known = {field.name: field for field in _fields(cls)}
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
            raise LocalError(f"{where}: unknown key `{at}{key}`", hint=hint)
    hints, values = get_type_hints(cls), {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(table[name], hints[name], where, f"{at}{name}", folder)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise LocalError(f"{where}: key `{at}{name}` is missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise LocalError(f"{where}: {at.rstrip('.') or cls.__name__}: {error}") from None


def _value(value: Any, hint: Any, where: str, at: str, folder: Path) -> Any:
    plain = _plain(hint)
    if is_dataclass(plain):
        if not isinstance(value, dict):
            raise LocalError(f"{where}: `{at}` must be a table")
        return _build(plain, value, where, at + ".", folder)  # type: ignore[arg-type]  # is_dataclass does not narrow to a type
    if get_origin(plain) is tuple:
        if not isinstance(value, list):
            raise LocalError(f"{where}: `{at}` must be a list")
        inner = get_args(plain)[0]
        return tuple(_value(item, inner, where, f"{at}[{i}]", folder) for i, item in enumerate(value))
    if get_origin(plain) is dict:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise LocalError(f"{where}: `{at}` must be a table of texts")
        return dict(value)
    if plain is Path and isinstance(value, str):
        return (folder / Path(value).expanduser()).resolve()
    if plain is float and type(value) is int:
        return float(value)
    if type(value) is not plain:
        raise LocalError(f"{where}: `{at}` must be {plain.__name__}, got {value!r:.60}")
    return value


def _fields(cls: type) -> tuple[Field[Any], ...]:
    return fields(cls)


def _plain(hint: Any) -> Any:
    """`X` of `X | None`."""
    if get_origin(hint) in (Union, UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _is_tables(hint: Any) -> bool:
    return get_origin(hint) is tuple and is_dataclass(get_args(hint)[0])
