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
    institution  instead of what their requests say; empty: as they say
    lifetime     of their certificates; None: as the profile has it
    """

    bootstrap: str
    roles: tuple[Role, ...] = (Role.SITE,)
    studies: tuple[str, ...] = ()
    size_cap_bytes: int = SIZE_CAP_BYTES
    institution: str = ""
    lifetime: timedelta | None = None


async def approve(
    registrar: "Registrar", authority: "Authority", cards: Mapping[Path, "MemberCard"], terms: Terms
) -> dict[Path, Answer]:
    """Take members in, or give those that are in their next certificate or keys. Raises LocalError.

    cards   by the request that each stands in
    """
    now = utc_now()
    issued = {path: certify(authority, card, terms.roles, now, lifetime=terms.lifetime) for path, card in cards.items()}
    await registrar.publish_members(
        NewMember(card, terms.roles, terms.institution or card.institution, terms.studies, terms.size_cap_bytes)
        for card in cards.values()
    )
    await registrar.publish_certificates(
        Certificate(cards[path].name, one.chain, one.roots) for path, one in issued.items()
    )
    return {path: Answer.of(cards[path].name, terms.bootstrap, one) for path, one in issued.items()}
