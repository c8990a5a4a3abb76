"""Who belongs to the federation right now: one immutable view of the roster and the members it names.

Knows:    which key of which member may sign or open, which sites take part in a study.
Never:    verifies a signature (protocol does) or reads a topic.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.errors import PeerError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role, Roster

_USABLE = (KeyState.ACTIVE, KeyState.RETIRED)


@dataclass(frozen=True, slots=True)
class Membership:
    """The members named by one roster; `digest` is the digest of that Roster record."""

    serial: int
    digest: bytes
    members: Mapping[str, Member]
    _keys: Mapping[bytes, tuple[Member, MemberKey]] = field(repr=False)

    def signing_key(self, name: str, key_id: bytes) -> bytes:
        """The Ed25519 public key `key_id` of member `name`.

        Raises PeerError with code `stranger` when no such member or key is on the roster, `revoked` when it is revoked.
        """
        found = self._keys.get(key_id)
        if found is None or found[0].name != name or found[1].use != KeyUse.SIGN:
            raise PeerError(
                f"the roster (serial {self.serial}) knows no signing key {key_id.hex()} of {name}", code="stranger"
            )
        if found[1].state not in _USABLE:
            raise PeerError(f"signing key {key_id.hex()} of {name} is revoked", code="revoked")
        return found[1].public

    def revoked_key(self, name: str, key_id: bytes) -> bytes | None:
        """The Ed25519 public key `key_id` of member `name`, where it is revoked: to tell whether that one was used."""
        found = self._keys.get(key_id)
        if found is None or found[0].name != name or found[1].use != KeyUse.SIGN or found[1].state in _USABLE:
            return None
        return found[1].public

    def key_states(self, name: str) -> dict[bytes, KeyState]:
        """key_id -> state of every key of member `name`; empty for one that is not on the roster."""
        member = self.members.get(name)
        return {key.key_id: KeyState(key.state) for key in member.keys} if member else {}

    def opening_key(self, name: str) -> MemberKey:
        """The active HPKE key of member `name`. Raises PeerError with code `stranger` when there is none."""
        member = self.members.get(name)
        for key in member.keys if member else ():
            if key.use == KeyUse.OPEN and key.state == KeyState.ACTIVE:
                return key
        raise PeerError(f"the roster (serial {self.serial}) knows no active opening key of {name}", code="stranger")

    def openers(self, names: Iterable[str]) -> dict[str, MemberKey]:
        """Those of the names that have an active HPKE key, with it, in their order."""
        found = {}
        for name in names:
            with contextlib.suppress(PeerError):
                found[name] = self.opening_key(name)
        return found

    def with_role(self, role: Role, study: str | None = None) -> tuple[str, ...]:
        """Names of the members that hold `role` (in `study`), sorted."""
        return tuple(
            name
            for name, member in sorted(self.members.items())
            if role in member.roles and (study is None or not member.studies or study in member.studies)
        )

    def sites(self, study: str) -> tuple[str, ...]:
        """Sites of a study with at least one key that is not revoked, sorted."""
        return tuple(
            name
            for name in self.with_role(Role.SITE, study)
            if any(key.use == KeyUse.SIGN and key.state in _USABLE for key in self.members[name].keys)
        )

    @property
    def coordinator(self) -> str:
        """The coordinator's name. Raises PeerError unless exactly one member has that role."""
        names = self.with_role(Role.COORDINATOR)
        if len(names) != 1:
            raise PeerError(f"the roster (serial {self.serial}) must name one coordinator, it names {len(names)}")
        return names[0]


def assemble(roster: Roster, roster_digest: bytes, members: Mapping[bytes, Member]) -> Membership:
    """Build the view from verified records; `members` by digest of the record.

    Raises PeerError while a member named by the roster is missing (it has not been read yet), or a key stands twice.
    """
    found: dict[str, Member] = {}
    for name, digest in roster.members:
        member = members.get(digest)
        if member is None or member.name != name:
            raise PeerError(f"roster serial {roster.serial} names a record of {name} that is not on the log")
        found[name] = member
    return Membership(roster.serial, roster_digest, found, _keys_of(found.values()))


def _keys_of(members: Iterable[Member]) -> dict[bytes, tuple[Member, MemberKey]]:
    keys: dict[bytes, tuple[Member, MemberKey]] = {}
    for member in members:
        for key in member.keys:
            if key.key_id in keys:
                raise PeerError(f"{member.name} and {keys[key.key_id][0].name} claim the same key {key.key_id.hex()}")
            keys[key.key_id] = (member, key)
    return keys
