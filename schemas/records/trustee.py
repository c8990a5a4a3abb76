"""What a trustee writes: whether it will sum over a Request, and its partial sum."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from schemas.codec import F8, FLAG, ID, Digest, Id, Many, Maybe, Nested, Record, U
from schemas.records.bodies import SITES_MAX, BodyRef


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """Trustee -> coordinator, `.trustee.<name>`: whether it will sum over a Request."""

    KIND: ClassVar[int] = 13
    study: Id
    trustee: Id
    index: U
    previous: Digest
    request: Digest
    accepted: Annotated[bool, FLAG]
    code: Annotated[str | None, Maybe(ID)]
    sites: Annotated[tuple[str, ...], Many(ID, SITES_MAX)]


@dataclass(frozen=True, slots=True)
class PartialSum(Record):
    """Trustee -> coordinator, `.trustee.<name>`: its masks summed over a Request, and where the sum lies."""

    KIND: ClassVar[int] = 14
    study: Id
    trustee: Id
    index: U
    previous: Digest
    request: Digest
    noise_std: F8
    digest: Digest
    body: Annotated[BodyRef, Nested(BodyRef)]
