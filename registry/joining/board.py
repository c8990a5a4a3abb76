"""How far each institution has come: asked, approved, heard of, counted; and how long its certificate lasts.

Knows:    what the log says, and the requests that lie in a folder and are not approved yet.
Never:    believes a sign of life that the member did not sign.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from audit.federation import AsyncFederation
from protocol.signing import verify
from protocol.tls.renewal import Life
from registry.keyfiles import read_card
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.records import Certificate, Outcome, Presence, Role, Signed, kind_of
from schemas.rights import is_out
from schemas.roster import Membership
from transport.admin import COMMAND_S, Admin, within
from transport.reading.entry import Entry
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link


@dataclass(frozen=True, slots=True)
class Row:
    """One institution.

    stage        asked, approved, connected (it was heard of), learning (an update of it was counted), or revoked
    days_left    of its newest certificate; None where none was given out over the log
    seen_ms      when it was heard last; None: never
    """

    name: str
    institution: str
    roles: tuple[str, ...]
    stage: str
    days_left: float | None = None
    seen_ms: int | None = None
    software: str = ""
    counted: int = 0
    fingerprint: str = ""


async def board(settings: KafkaSettings, registrar: bytes, now: datetime, requests: Path | None = None) -> list[Row]:
    """A row for each member, and for each request in the folder `requests` of whom is none.

    Raises LocalError and TransientError as AsyncFederation.
    """
    federation = AsyncFederation(
        settings.bootstrap, registrar_key=registrar, tls=settings.tls, security=settings.security
    )
    membership = await federation.membership()
    rows = {row.name: row for row in _members(membership)} if membership is not None else {}
    link = Link(settings)
    for name, days in _days_left(await _read(settings, link, [topics.CERTIFICATES]), now).items():
        if name in rows:
            rows[name] = replace(rows[name], days_left=days)
    if membership is not None:
        sites = [topics.offers(name) for name in membership.with_role(Role.SITE)]
        for name, (at_ms, software) in _heard(await _read(settings, link, sites), membership).items():
            rows[name] = replace(rows[name], seen_ms=at_ms, software=software, stage=_further(rows[name], "connected"))
    for study in await federation.studies():
        for site in (await federation.history(study)).sites.values():
            counted = sum(decision.outcome == Outcome.COUNTED for decision in site.decisions.values())
            if counted and site.name in rows:
                row = rows[site.name]
                rows[site.name] = replace(row, counted=row.counted + counted, stage=_further(row, "learning"))
    return [*rows.values(), *_asked(requests, rows)]


def _members(membership: Membership) -> Iterable[Row]:
    for name, member in sorted(membership.members.items()):
        roles = tuple(Role(role).name.lower() for role in member.roles)
        yield Row(name, member.institution, roles, "revoked" if is_out(member) else "approved")


def _further(row: Row, stage: str) -> str:
    return row.stage if row.stage == "revoked" else stage


def _days_left(entries: Iterable[Entry], now: datetime) -> dict[str, float]:
    found = {}
    for entry in entries:
        try:
            record = Certificate.from_bytes(Signed.from_bytes(entry.value or b"").payload)
            leaf = x509.load_pem_x509_certificates(record.chain)[0]
        except (PeerError, ValueError):
            continue
        found[record.name] = Life.of(leaf).days_left(now)
    return found


def _heard(entries: Iterable[Entry], membership: Membership) -> dict[str, tuple[int, str]]:
    """Of each site: when it was heard last, and its software."""
    found: dict[str, tuple[int, str]] = {}
    for entry in entries:
        try:
            signed = Signed.from_bytes(entry.value or b"")
            if kind_of(signed.payload) != Presence.KIND:
                continue
            claimed = Presence.from_bytes(signed.payload)
            public = membership.signing_key(claimed.site, signed.key_id)
            presence = verify(signed, Presence, public)
        except PeerError:
            continue
        if entry.topic == topics.offers(presence.site):
            found[presence.site] = (entry.timestamp_ms, presence.software)
    return found


def _asked(folder: Path | None, known: Mapping[str, Row]) -> Iterable[Row]:
    """Requests of nobody that is known yet; what is no request is left aside."""
    for path in sorted(folder.iterdir()) if folder is not None else ():
        try:
            card = read_card(path)
        except LocalError:
            continue
        if card.name not in known:
            yield Row(card.name, card.institution, (), "asked", fingerprint=card.fingerprint)


async def _read(settings: KafkaSettings, link: Link, names: list[str]) -> list[Entry]:
    admin = Admin(settings, link)
    try:
        there = sorted(await within(admin.existing(names), COMMAND_S, link))
        return await within(read_to_end(settings, link, there), 3 * COMMAND_S, link) if there else []
    finally:
        await admin.close()
