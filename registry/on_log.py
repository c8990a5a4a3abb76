"""What a registrar has on the log: the newest record of each member, the newest roster, every plan.

Knows:    what it signed with its former keys is its own, up to where it handed them on.
Never:    reads or writes a topic; believes a record of another registrar.
"""

from collections.abc import Iterable

import structlog

from protocol.digests import record_digest
from protocol.registrar_keys import RegistrarKeys, is_handed_on
from protocol.signing import key_id
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan, plan_of
from schemas.records import Member, PlanRecord, Role, Roster, Signed
from schemas.roster import Membership, assemble
from transport.reading.entry import Entry

log = structlog.get_logger()


class OnLog:
    """Of the registrar with this public key."""

    def __init__(self, registrar: bytes) -> None:
        self.keys = RegistrarKeys(registrar)
        self.members: dict[str, Member] = {}  # the newest record of each name
        self.roster: Roster | None = None
        self.plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self.foreign = 0  # records that are not this registrar's
        self._by_digest: dict[bytes, Member] = {}
        self._signer = b""  # key_id of the newest roster's
        self._ended: dict[bytes, int] = {}  # key_id of a former key -> offset at which it was handed on

    @property
    def membership(self) -> Membership | None:
        """The members of the newest roster; None before the first."""
        if self.roster is None:
            return None
        return assemble(self.roster, record_digest(self.roster.to_bytes()), self._by_digest)

    @property
    def listed(self) -> tuple[tuple[str, bytes], ...]:
        """What the next roster lists: each member with the digest of its newest record."""
        return tuple((name, record_digest(member.to_bytes())) for name, member in sorted(self.members.items()))

    @property
    def coordinators(self) -> list[str]:
        return [name for name, member in self.members.items() if Role.COORDINATOR in member.roles]

    @property
    def standing(self) -> Roster | None:
        """The newest roster, where it lists what the next one would, under the key of now."""
        said = self.roster is not None and self.roster.members == self.listed
        return self.roster if said and self._signer == key_id(self.keys.pinned) else None

    def read(self, entries: Iterable[Entry]) -> None:
        """All that is on the topics of members and plans, in order: first who the registrar's keys are."""
        there = list(entries)
        while any(self._is_handed_on(entry) for entry in there):
            pass
        for entry in there:
            self._take_or_ignore(entry)

    def refuse_handed_on(self) -> None:
        """Raise LocalError where this key has a successor: nobody would believe what it signs."""
        if (newest := self.keys.newest) != self.keys.pinned:
            raise LocalError(
                f"the registrar's key {key_id(self.keys.pinned).hex()} was handed on to {key_id(newest).hex()}",
                hint="name the new key with --key; if `wardround registrar rotate` was interrupted, run it again; if "
                "nobody ran it, the key was stolen",
            )

    def keep_roster(self, roster: Roster) -> None:
        """It is the newest, under the key of now."""
        self.roster, self._signer = roster, key_id(self.keys.pinned)

    def keep(self, member: Member) -> None:
        """It is the newest record of this name."""
        self.members[member.name] = member
        self._by_digest[record_digest(member.to_bytes())] = member

    def _is_handed_on(self, entry: Entry) -> bool:
        """Whether a further key of the registrar's is known by it."""
        try:
            signed = Signed.from_bytes(entry.value or b"")
            if not is_handed_on(signed) or not self.keys.add(signed):
                return False
        except PeerError:
            return False  # it is told of when all records are taken
        self._ended[signed.key_id] = entry.offset
        return True

    def _take_or_ignore(self, entry: Entry) -> None:
        try:
            self._take(entry)
        except PeerError as error:
            self.foreign += 1
            log.info("record ignored", topic=entry.topic, offset=entry.offset, reason=str(error))

    def _take(self, entry: Entry) -> None:
        if entry.value is None:
            return
        signed = Signed.from_bytes(entry.value)
        if entry.topic == topics.MEMBERS and entry.offset > self._ended.get(signed.key_id, entry.offset):
            raise PeerError(f"under the registrar's key {signed.key_id.hex()}, which was handed on before")
        if entry.topic == topics.PLANS:
            record = self.keys.verify(signed, PlanRecord)
            plan = plan_of(record.plan)
            self.plans[plan.digest] = (plan, record)
        elif entry.key == topics.ROSTER_KEY:
            roster = self.keys.roster(signed)
            if self.roster is None or roster.serial >= self.roster.serial:
                self.roster, self._signer = roster, signed.key_id
        elif is_handed_on(signed):
            self.keys.add(signed)
        else:
            self.keep(self.keys.verify(signed, Member))
