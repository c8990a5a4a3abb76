"""The registrar's approval in one act: members, topics, rights, quotas, certificates; the roster follows.

Knows:    what cannot be certified changes nothing; whoever has an answer in hand can connect, and finds all it may.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from registry.joining.answer import Answer
from registry.members import SIZE_CAP_BYTES, NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import certify
from schemas.records import Certificate, Role

if TYPE_CHECKING:
    from registry.keyfiles import MemberCard
    from registry.pki.authority import Authority
    from registry.registrar import Registrar


@dataclass(frozen=True, slots=True)
class Terms:
    """On which members are taken in.

    bootstrap    where they will reach the brokers
    roles        empty: those that a member has, and of a new one that of a site
    studies      empty: those that a member has, and of a new one all
    institution  instead of what their requests say; empty: as they say
    lifetime     of their certificates; None: as the profile has it
    """

    bootstrap: str
    roles: tuple[Role, ...] = ()
    studies: tuple[str, ...] = ()
    size_cap_bytes: int = SIZE_CAP_BYTES
    institution: str = ""
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """What to send to a member, and what it is now."""

    answer: Answer
    roles: tuple[Role, ...]


async def approve(
    registrar: "Registrar", authority: "Authority", cards: Mapping[Path, "MemberCard"], terms: Terms
) -> "dict[Path, Approved]":
    """Take members in, or give those that are in their next certificate or keys. Raises LocalError.

    cards   by the request that each stands in
    """
    now, wanted = utc_now(), {path: _wanted(registrar, card, terms) for path, card in cards.items()}
    issued = {
        path: certify(authority, new.card, new.roles, now, lifetime=terms.lifetime) for path, new in wanted.items()
    }
    await registrar.publish_members(wanted.values())
    await registrar.publish_certificates(
        Certificate(cards[path].name, one.chain, one.roots) for path, one in issued.items()
    )
    return {
        path: Approved(Answer.of(new.card.name, terms.bootstrap, issued[path]), new.roles)
        for path, new in wanted.items()
    }


def _wanted(registrar: "Registrar", card: "MemberCard", terms: Terms) -> NewMember:
    """Who has a role keeps it, unless another one is named: a coordinator with new keys does not become a site."""
    known = registrar.member(card.name)
    roles = terms.roles or (tuple(Role(role) for role in known.roles) if known is not None else (Role.SITE,))
    studies = terms.studies or (known.studies if known is not None else ())
    return NewMember(card, roles, terms.institution or card.institution, studies, terms.size_cap_bytes)
