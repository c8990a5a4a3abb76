"""What a registrar has on the log: the newest record of each member, the newest roster, every plan.

Never:    reads or writes a topic; believes a record of another registrar.
"""

import structlog

from protocol.digests import record_digest
from protocol.signing import verify
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan, plan_of
from schemas.records import Member, PlanRecord, Role, Roster, Signed
from schemas.roster import Membership, assemble
from transport.reading.entry import Entry

log = structlog.get_logger()


class OnLog:
    """Of the registrar with this public key."""

    def __init__(self, registrar: bytes) -> None:
        self._registrar = registrar
        self.members: dict[str, Member] = {}  # the newest record of each name
        self.roster: Roster | None = None
        self.plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self.foreign = 0  # records that are not this registrar's
        self._by_digest: dict[bytes, Member] = {}

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

    def take(self, entry: Entry) -> None:
        """The next record of the topics of members and plans."""
        try:
            self._take(entry)
        except PeerError as error:
            self.foreign += 1
            log.info("record ignored", topic=entry.topic, offset=entry.offset, reason=str(error))

    def keep(self, member: Member) -> None:
        """It is the newest record of this name."""
        self.members[member.name] = member
        self._by_digest[record_digest(member.to_bytes())] = member

    def _take(self, entry: Entry) -> None:
        if entry.value is None:
            return
        signed = Signed.from_bytes(entry.value)
        if entry.topic == topics.PLANS:
            record = verify(signed, PlanRecord, self._registrar)
            plan = plan_of(record.plan)
            self.plans[plan.digest] = (plan, record)
        elif entry.key == topics.ROSTER_KEY:
            roster = verify(signed, Roster, self._registrar)
            self.roster = max(roster, self.roster or roster, key=lambda one: one.serial)
        else:
            self.keep(verify(signed, Member, self._registrar))
