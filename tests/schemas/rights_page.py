"""The page of rights, docs/rights.md, made from the table that the brokers' rules come from.

From the repository's root: python -m tests.schemas.rights_page
"""

from collections.abc import Iterable
from pathlib import Path

import mdformat

from schemas.records import Role
from schemas.rights import RENEWER_RIGHTS, RIGHTS, RIGHTS_IN_STUDY, Operation, Resource, Right
from schemas.topics import renewals

PAGE = Path(__file__).parents[2] / "docs" / "rights.md"
MARK = "<!-- What follows is made from schemas/rights.py by `python -m tests.schemas.rights_page`. -->"
NAME, STUDY = "<name>", "<study>"


def tables() -> str:
    parts = [MARK]
    for role, of in RIGHTS.items():
        asking = Right(Resource.TOPIC, renewals(NAME), (Operation.WRITE,), "what it asks its next certificate with")
        inside = RIGHTS_IN_STUDY[role](STUDY) if role in RIGHTS_IN_STUDY else ()
        parts.append(_table(role.name.lower(), [asking, *of(NAME), *inside]))
    parts.append(_table("renewer (the process that renews certificates; no member)", RENEWER_RIGHTS))
    options = {"wrap": 100, "compact_tables": True}
    return mdformat.text("\n\n".join(parts), options=options, extensions={"gfm", "tables"})


def written() -> str:
    """The page as it should be: its own words, then the tables."""
    return PAGE.read_text().partition(MARK)[0] + tables()


def _table(title: str, rights: Iterable[Right]) -> str:
    rows = [f"### {title[0].upper()}{title[1:]}\n", "| may | what | why |", "| -- | -- | -- |"]
    for right in rights:
        may = ", ".join(one.name.lower().replace("_", " ") for one in right.operations)
        kind = "" if right.resource == Resource.TOPIC else f"{right.resource.name.lower().replace('_', ' ')} "
        rows.append(f"| {may} | {kind}`{right.name}{'*' if right.prefix else ''}` | {right.why} |")
    return "\n".join(rows)


if __name__ == "__main__":
    assert set(RIGHTS) == set(Role)
    PAGE.write_text(written())
