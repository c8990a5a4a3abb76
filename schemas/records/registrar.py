"""What the registrar writes: members and their keys, the roster, plans."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from schemas.codec import (
    DIGEST,
    ID,
    Blob,
    Digest,
    Id,
    KeyId,
    Many,
    Maybe,
    Nested,
    Pair,
    Record,
    Signature,
    Struct,
    Text,
    U,
    Whole,
)
from schemas.records.bodies import MEMBERS_MAX, BodyRef, first

PUBLIC_BYTES_MAX = 1216
PLAN_BYTES_MAX = 65536
REQUEST_BYTES_MAX = 1024
CHAIN_BYTES_MAX = 16384
REGISTRAR_NAME, BROKER_NAME, RENEWER_NAME = "registrar", "broker", "renewer"  # no members, known to brokers by name
RESERVED_NAMES = frozenset({"roster", REGISTRAR_NAME, BROKER_NAME, RENEWER_NAME})


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

    use: Annotated[int, Whole(1, 2)]  #: 1 sign (Ed25519), 2 open (HPKE)
    key_id: KeyId  #: first 16 bytes of SHA-256(public)
    public: Annotated[bytes, Blob(PUBLIC_BYTES_MAX)]  #: 32 bytes to sign, 1216 (ML-KEM-768 and X25519) to open
    state: Annotated[int, Whole(1, 3)]  #: 1 active, 2 retired (still verifies and opens), 3 revoked


@dataclass(frozen=True, slots=True)
class Member(Record):
    """Registrar -> all, `wardround.members`, key = name: one institution and its keys."""

    KIND: ClassVar[int] = 1
    name: Id  #: never `roster`, `registrar`, `broker` or `renewer`
    institution: Annotated[str, Text(120)]  #: for people
    studies: Annotated[tuple[str, ...], Many(ID, 64, key=str)]  #: it takes part in; empty: all
    #: 1 site, 2 coordinator, 3 trustee, 4 auditor, 5 operator
    roles: Annotated[tuple[int, ...], Many(Whole(1, 5), 5, key=int)]
    keys: Annotated[tuple[MemberKey, ...], Many(Nested(MemberKey), 16)]  #: of the member

    def check(self) -> None:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"Member.name: `{self.name}` is reserved")


@dataclass(frozen=True, slots=True)
class Roster(Record):
    """Registrar -> all, `wardround.members`, key `roster`: who belongs, by digest of the Member records."""

    KIND: ClassVar[int] = 2
    serial: U  #: rises with each roster; an older one never replaces a newer
    #: (name, digest of the Member record), by name
    members: Annotated[tuple[tuple[str, bytes], ...], Many(Pair((ID, DIGEST)), MEMBERS_MAX, key=first)]


@dataclass(frozen=True, slots=True)
class RegistrarKey(Record):
    """Registrar -> all, `wardround.members`, key = `registrar/` and the key_id of `former` in hex: its next key.

    The former key signs the record, the new one what `proof` covers: so whoever pins either of them knows both.
    """

    KIND: ClassVar[int] = 22
    former: Digest  #: Ed25519 public key that hands on
    public: Digest  #: Ed25519 public key that goes on
    serial: U  #: the last roster that the former key may sign
    proof: Signature  #: by `public`, context `registrarkey-proof`, over former, public, serial (8 bytes, big-endian)

    def check(self) -> None:
        if self.former == self.public:
            raise ValueError("RegistrarKey.public: a key does not succeed itself")


@dataclass(frozen=True, slots=True)
class Renewal(Record):
    """Member -> registrar, `wardround.renewals.<member>`, key = name: asks for the next certificate for TLS."""

    KIND: ClassVar[int] = 20
    name: Id  #: of the member
    request: Annotated[bytes, Blob(REQUEST_BYTES_MAX)]  #: PKCS #10, DER, for the key that the member has


@dataclass(frozen=True, slots=True)
class Certificate(Record):
    """Registrar -> member, `wardround.certificates`, key = name: a certificate for TLS, and the roots to believe.

    The chain is believed for what it is: for the member's own key, from a root that it believes already. The roots
    count under the registrar's signature alone, since whoever renews may be another process.
    """

    KIND: ClassVar[int] = 21
    name: Id  #: of the member
    chain: Annotated[bytes, Blob(CHAIN_BYTES_MAX)]  #: PEM, the member's certificate first
    roots: Annotated[bytes, Blob(CHAIN_BYTES_MAX)]  #: PEM, every authority to believe from now on


@dataclass(frozen=True, slots=True)
class PlanRecord(Record):
    """Registrar -> all, `wardround.plans`, key = plan digest: the plan's bytes and where version 0 lies."""

    KIND: ClassVar[int] = 3
    study: Id  #: study id, as in the plan
    plan: Annotated[bytes, Blob(PLAN_BYTES_MAX)]  #: the plan's bytes, see Plan
    #: where version 0 lies, sealed to the coordinator; none where it is not needed
    initial: Annotated[BodyRef | None, Maybe(Nested(BodyRef))]
