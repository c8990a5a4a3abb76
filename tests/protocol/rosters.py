"""Memberships for tests of keys: members and the states of their keys, as a registrar would list them."""

from collections.abc import Mapping

from protocol.digests import record_digest
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role, Roster
from schemas.roster import Membership, assemble

AnyKey = SigningKey | OpenKey


def listed(key: AnyKey, state: KeyState) -> MemberKey:
    """A key as a Member record lists it."""
    use = KeyUse.SIGN if isinstance(key, SigningKey) else KeyUse.OPEN
    return MemberKey(int(use), key.key_id, key.public, int(state))


def roster_of(members: Mapping[str, Mapping[AnyKey, KeyState]], role: Role = Role.SITE, serial: int = 1) -> Membership:
    """What a roster of these members amounts to."""
    records = [
        Member(name, name, (), (int(role),), tuple(listed(key, state) for key, state in keys.items()))
        for name, keys in sorted(members.items())
    ]
    digests = {record_digest(record.to_bytes()): record for record in records}
    roster = Roster(serial, tuple((record.name, digest) for digest, record in digests.items()))
    return assemble(roster, record_digest(roster.to_bytes()), digests)
