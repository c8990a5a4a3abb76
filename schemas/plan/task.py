"""[task]: which code a study runs at its sites."""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import Digest, Many, Pair, Text
from schemas.plan.section import Section


def _name(option: tuple[str, str]) -> str:
    return option[0]


@dataclass(frozen=True, slots=True)
class TaskSpec(Section):
    """Which code a study runs at its sites: entry point, SHA-256 of its folder, options."""

    entry: Annotated[str, Text(200)]  #: where the task is found: `package.module:name`
    code: Digest  #: SHA-256 over the files of the task's folder; a site runs no other code
    options: Annotated[
        tuple[tuple[str, str], ...], Many(Pair((Text(64), Text(200))), 64, key=_name)
    ]  #: (name, value), sorted: what the task is told; what a name means is the task's own
