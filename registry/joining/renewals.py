"""Renews members' certificates from what they ask for on the log, attended or not, and nothing else.

Knows:    a certificate is given for the key that the member's newest one is for, to a member that the roster lists and
          that signed for it with a key that counts. A new key is a person's affair: `registrar approve`.
Never:    adds a member, changes a role, or reads a study: the process needs neither the registrar's key nor its rights.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from protocol.directory import Directory
from protocol.signing import Signs, verify
from protocol.tls.files import pem
from protocol.tls.requests import requested_key
from registry.pki.authority import Authority
from registry.pki.profiles import profile_of
from schemas import topics
from schemas.errors import PeerError
from schemas.records import Certificate, Member, Renewal, Signed
from schemas.rights import is_out
from schemas.roster import Membership
from transport.admin import COMMAND_S, Admin, within
from transport.reading.entry import Entry
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Certified:
    """A member's newest certificate on the log."""

    public: EllipticCurvePublicKey
    at_ms: int


class Renewals:
    """One look after another at what is asked for. Each raises TransientError after 10 s without the broker."""

    def __init__(
        self,
        settings: KafkaSettings,
        registrar: bytes,
        authority: Authority,
        signing: Signs,
        *,
        lifetime: timedelta | None = None,
        clock: Callable[[], datetime],
    ) -> None:
        """`registrar` is its public key; `signing` signs what is given out: the registrar's, or any key without it."""
        self._settings, self._registrar, self._authority, self._signing = settings, registrar, authority, signing
        self._lifetime, self._clock = lifetime, clock
        self._link = Link(settings)
        self._writer, self._admin = Writer(settings, self._link), Admin(settings, self._link)

    async def close(self) -> None:
        await asyncio.gather(self._writer.close(), self._admin.close())

    async def answer(self) -> list[str]:
        """Renew what was asked for and is not answered yet; the members' names."""
        membership = await self._membership()
        if membership is None:
            return []
        certified, given = await self._certified(), list[str]()
        for entry in await self._asked(membership):
            try:
                name, public = judge(entry, membership, certified)
            except AnsweredError:
                continue
            except PeerError as error:
                log.warning("no certificate renewed", topic=entry.topic, reason=str(error))
                continue
            await self._give(membership.members[name], public)
            given.append(name)
        return given

    async def reissue(self) -> list[str]:
        """Give every member that counts a certificate anew, for the key it has: after the authority was rotated."""
        membership = await self._membership()
        certified = await self._certified()
        members = [one for one in membership.members.values() if not is_out(one)] if membership is not None else []
        wanted = [one for one in members if one.name in certified]
        for member in wanted:
            await self._give(member, certified[member.name].public)
        return [member.name for member in wanted]

    async def _give(self, member: Member, public: EllipticCurvePublicKey) -> None:
        profile, authority = profile_of(member.roles), self._authority
        leaf = authority.issue(profile, member.name, public, self._clock(), lifetime=self._lifetime)
        record = Certificate(member.name, pem((leaf, *authority.between)), pem(authority.roots))
        sent = self._writer.send(topics.CERTIFICATES, self._signing.sign(record).to_bytes(), member.name.encode())
        await within(sent, COMMAND_S, self._link)
        log.info("certificate given", member=member.name, until=f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M}")

    async def _membership(self) -> Membership | None:
        directory = Directory(self._registrar)
        for entry in await self._read([topics.MEMBERS]):
            try:
                directory.feed(entry.topic, entry.key, entry.value)
            except PeerError as error:
                log.debug("record passed over", offset=entry.offset, reason=str(error))
        return directory.membership

    async def _certified(self) -> dict[str, Certified]:
        return certified_on(await self._read([topics.CERTIFICATES]))

    async def _asked(self, membership: Membership) -> list[Entry]:
        """The newest request of each member that has a topic for them."""
        names = {topics.renewals(name) for name in membership.members}
        there = await within(self._admin.existing(names), COMMAND_S, self._link)
        newest = {entry.topic: entry for entry in await self._read(sorted(there))} if there else {}
        return list(newest.values())

    async def _read(self, names: list[str]) -> list[Entry]:
        return await within(read_to_end(self._settings, self._link, names), COMMAND_S, self._link)


def certified_on(entries: Iterable[Entry]) -> dict[str, Certified]:
    """Which key each member's newest certificate is for, and since when it lies on the log.

    What is no certificate is passed over: only the registrar and whoever renews can write there.
    """
    found: dict[str, Certified] = {}
    for entry in entries:
        if entry.value is None:
            continue
        try:
            record = Certificate.from_bytes(Signed.from_bytes(entry.value).payload)
            public = x509.load_pem_x509_certificates(record.chain)[0].public_key()
        except (PeerError, ValueError) as error:
            log.warning("no certificate where one should be", offset=entry.offset, reason=str(error))
            continue
        if isinstance(public, EllipticCurvePublicKey) and entry.key == record.name.encode():
            found[record.name] = Certified(public, entry.timestamp_ms)
    return found


def judge(entry: Entry, membership: Membership, certified: dict[str, Certified]) -> tuple[str, EllipticCurvePublicKey]:
    """Whom to renew for which key. Raises PeerError where that is not to be done, with why."""
    signed = Signed.from_bytes(entry.value or b"")
    claimed = Renewal.from_bytes(signed.payload)
    if entry.topic != topics.renewals(claimed.name):
        raise PeerError(f"a request in the name of {claimed.name} on {entry.topic}")
    member, key = membership.members.get(claimed.name), None
    if member is not None and not is_out(member):
        key = membership.signing_key(claimed.name, signed.key_id)
    if member is None or key is None:
        raise PeerError(f"{claimed.name} is not on the roster, or none of its keys counts any more")
    renewal = verify(signed, Renewal, key)
    public, known = requested_key(renewal.request), certified.get(renewal.name)
    if known is None or known.public != public:
        raise PeerError(f"{renewal.name} asks for another key than it was given a certificate for: approve it by hand")
    if known.at_ms >= entry.timestamp_ms:
        raise AnsweredError(f"{renewal.name} was answered already")
    return renewal.name, public


class AnsweredError(PeerError):
    """There is nothing to do."""
