"""What a Member record says: its keys active, those it had before kept for what was signed with them.

Never:    holds a private key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from registry.keyfiles import MemberCard
from schemas.errors import LocalError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role

SIZE_CAP_BYTES = 20 * 2**30
KEYS_MAX = 16


@dataclass(frozen=True, slots=True)
class NewMember:
    """What one Member record will say; `studies` empty: all of them. `size_cap_bytes` bounds a site's bodies topic."""

    card: MemberCard
    roles: tuple[Role, ...]
    institution: str = ""
    studies: tuple[str, ...] = ()
    size_cap_bytes: int = SIZE_CAP_BYTES


def member_of(new: NewMember, known: Mapping[str, Member]) -> Member:
    """The record for `new`: its keys active, those it had before retired (or revoked, as they were).

    known   the newest record of every member. Raises LocalError for a key that is another member's, or was revoked,
            and for more former signing keys than a record holds.
    """
    card, before = new.card, known.get(new.card.name)
    active = card.keys()
    _refuse_foreign_keys(card.name, active, known)
    fresh = {key.key_id for key in active}
    earlier = [key for key in (before.keys if before else ()) if key.key_id not in fresh]
    older = tuple(key if key.state == KeyState.REVOKED else replace(key, state=KeyState.RETIRED) for key in earlier)
    try:
        return Member(
            name=card.name,
            institution=new.institution or (before.institution if before else card.name),
            studies=tuple(sorted(set(new.studies))),
            roles=tuple(sorted({int(role) for role in new.roles})),
            keys=(*active, *_kept(card.name, older, KEYS_MAX - len(active))),
        )
    except ValueError as error:
        raise LocalError(str(error)) from None


def _kept(name: str, older: tuple[MemberKey, ...], room: int) -> tuple[MemberKey, ...]:
    """Former keys that a record still lists: all that sign, as what they signed stands on logs; others as they fit."""
    signing = [key for key in older if key.use == KeyUse.SIGN]
    if len(signing) > room:
        raise LocalError(
            f"{name} has had {len(signing)} signing keys before these, its record holds {room}",
            hint="what the oldest signed would no longer be believed: publish the member under a new name",
        )
    opening = [key for key in older if key.use == KeyUse.OPEN][: room - len(signing)]
    return tuple(key for key in older if key in signing or key in opening)


def revoked(member: Member) -> Member:
    """The same member, none of whose keys counts any more."""
    return replace(member, keys=tuple(replace(key, state=KeyState.REVOKED) for key in member.keys))


def _refuse_foreign_keys(name: str, keys: Iterable[MemberKey], members: Mapping[str, Member]) -> None:
    """A key that belongs to another member, or was revoked, never becomes active again."""
    wanted = {key.key_id for key in keys}
    for other in members.values():
        for key in other.keys:
            if key.key_id in wanted and (other.name != name or key.state == KeyState.REVOKED):
                what = "is revoked" if other.name == name else f"belongs to {other.name}"
                raise LocalError(
                    f"key {key.key_id.hex()} of {name} {what}",
                    hint="the member has to make new keys: `wardround keys new`",
                )
