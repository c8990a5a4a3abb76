"""What the registrar writes: members and their keys, the roster, plans."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from schemas.codec import DIGEST, ID, Blob, Id, KeyId, Many, Maybe, Nested, Pair, Record, Struct, Text, U, Whole
from schemas.records.bodies import BodyRef, first

PUBLIC_BYTES_MAX = 1216
PLAN_BYTES_MAX = 65536
RESERVED_NAMES = frozenset({"roster", "registrar"})


class Role(IntEnum):
    SITE = 1
    COORDINATOR = 2
    TRUSTEE = 3
    AUDITOR = 4
    OPERATOR = 5


class KeyUse(IntEnum):
    SIGN = 1
    OPEN = 2


class KeyState(IntEnum):
    ACTIVE = 1
    RETIRED = 2
    REVOKED = 3


@dataclass(frozen=True, slots=True)
class MemberKey(Struct):
    """One public key of a member; `public` is 32 bytes (Ed25519) to sign, 1216 (ML-KEM-768 || X25519) to open."""

    use: Annotated[int, Whole(1, 2)]
    key_id: KeyId
    public: Annotated[bytes, Blob(PUBLIC_BYTES_MAX)]
    state: Annotated[int, Whole(1, 3)]


@dataclass(frozen=True, slots=True)
class Member(Record):
    """Registrar -> all, `wardround.members`, key = name: one institution and its keys."""

    KIND: ClassVar[int] = 1
    name: Id
    institution: Annotated[str, Text(120)]
    studies: Annotated[tuple[str, ...], Many(ID, 64, key=str)]  # empty = all
    roles: Annotated[tuple[int, ...], Many(Whole(1, 5), 5, key=int)]
    keys: Annotated[tuple[MemberKey, ...], Many(Nested(MemberKey), 16)]

    def check(self) -> None:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"Member.name: `{self.name}` is reserved")


@dataclass(frozen=True, slots=True)
class Roster(Record):
    """Registrar -> all, `wardround.members`, key `roster`: who belongs, by digest of the Member records."""

    KIND: ClassVar[int] = 2
    serial: U
    members: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), 4096, key=first)]


@dataclass(frozen=True, slots=True)
class PlanRecord(Record):
    """Registrar -> all, `wardround.plans`, key = plan digest: the plan's bytes and where version 0 lies."""

    KIND: ClassVar[int] = 3
    study: Id
    plan: Annotated[bytes, Blob(PLAN_BYTES_MAX)]
    initial: Annotated[BodyRef | None, Maybe(Nested(BodyRef))]
