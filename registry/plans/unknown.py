"""What to do about a key or a section that is none: where it moved, how it is called here, what it is close to."""

import difflib
from collections.abc import Mapping
from typing import Any

from registry.plans.form import Form

Forms = Mapping[str, Form]


def unknown_section(name: str, table: Any, forms: Forms) -> list[str]:
    """One sentence; or one for each of its keys, where some have moved to other sections."""
    moved = _moved(forms)
    if isinstance(table, dict) and any(f"{name}.{key}" in moved for key in table):
        return [unknown_key(name, key, forms) for key in table]
    return [f"unknown section [{name}]; {_near(name, list(forms))}"]


def unknown_key(section: str, key: str, forms: Forms) -> str:
    if place := _moved(forms).get(f"{section}.{key}"):
        return f"{section}.{key} has moved: write `{place[1]}` in [{place[0]}]"
    known = forms[section].keys if section in forms else {}
    here = next((name for name, rule in known.items() if key in rule.also), None)
    there = None if here else _elsewhere(key, forms)
    if here:
        hint = f"it is called `{here}` here"
    elif there:
        hint = f"write `{there[1]}` in [{there[0]}]"
    else:
        hint = _near(key, list(known))
    return f"unknown key {section}.{key}; {hint}"


def _moved(forms: Forms) -> dict[str, tuple[str, str]]:
    """`section.key` of older plans -> (section, key)."""
    return {was: (name, key) for name, form in forms.items() for key, rule in form.keys.items() for was in rule.was}


def _elsewhere(key: str, forms: Forms) -> tuple[str, str] | None:
    """The one place where a key of this name, or one that others call so, belongs; None where there are several."""
    same = [(name, key) for name, form in forms.items() if key in form.keys]
    alike = [(name, known) for name, form in forms.items() for known, rule in form.keys.items() if key in rule.also]
    found = same or alike
    return found[0] if len(found) == 1 else None


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
