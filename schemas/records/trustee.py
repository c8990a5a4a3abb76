"""What a trustee writes: whether it will sum over a Request, and its partial sum."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from schemas.codec import F8, FLAG, ID, Digest, Id, Many, Maybe, Nested, Record, U
from schemas.records.bodies import SITES_MAX, BodyRef


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """Trustee -> coordinator, `.trustee.<name>`: whether it will sum over a Request."""

    KIND: ClassVar[int] = 13
    study: Id  #: study id
    trustee: Id  #: who writes
    index: U  #: the record's place on that trustee's topic, from 0
    previous: Digest  #: digest of that trustee's record before it; zeros for the first
    request: Digest  #: digest of the Request
    accepted: Annotated[bool, FLAG]  #: whether it will sum
    code: Annotated[str | None, Maybe(ID)]  #: the rule that the Request breaks: `p2` to `p10`; none where it will sum
    sites: Annotated[tuple[str, ...], Many(ID, SITES_MAX)]  #: whose updates break it


@dataclass(frozen=True, slots=True)
class PartialSum(Record):
    """Trustee -> coordinator, `.trustee.<name>`: its masks summed over a Request, and where the sum lies."""

    KIND: ClassVar[int] = 14
    study: Id  #: study id
    trustee: Id  #: who writes
    index: U  #: the record's place on that trustee's topic, from 0
    previous: Digest  #: digest of that trustee's record before it; zeros for the first
    request: Digest  #: digest of the Request
    noise_std: F8  #: standard deviation of the noise in it, in units of the scale
    digest: Digest  #: body digest of the sum of masks
    body: Annotated[BodyRef, Nested(BodyRef)]  #: where it lies on `.trustee-bodies.<name>`
