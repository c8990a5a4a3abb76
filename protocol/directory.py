"""What the registrar says: members, roster and plans, as one view that every role builds from the same two topics.

Knows:    which records are valid (the registrar's signature, topic, key), which roster is the newest.
Never:    reads a topic itself; a roster whose serial falls is refused.
"""

from collections.abc import Mapping
from types import MappingProxyType

from protocol.digests import record_digest
from protocol.signing import verify
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan, plan_of
from schemas.records import Member, PlanRecord, Roster, Signed
from schemas.roster import Membership, assemble


class Directory:
    """Feed it every record of `wardround.members` and `wardround.plans`; read `membership` and `plans`."""

    def __init__(self, registrar: bytes) -> None:
        """`registrar` is the registrar's Ed25519 public key, pinned at enrolment."""
        self._registrar = registrar
        self._members: dict[bytes, Member] = {}
        self._signed: dict[bytes, bytes] = {}
        self._plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self._newest: tuple[bytes, Roster] | None = None
        self.membership: Membership | None = None

    @property
    def plans(self) -> Mapping[bytes, tuple[Plan, PlanRecord]]:
        """Plans by digest, with their records."""
        return MappingProxyType(self._plans)

    def feed(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take one record of the two topics. Raises PeerError for one that the registrar did not write like this."""
        if value is None:
            return
        signed = Signed.from_bytes(value)
        if topic == topics.PLANS:
            self._plan(key, signed)
        elif key == topics.ROSTER_KEY:
            self._roster(signed)
        else:
            self._member(key, signed)

    def signed(self, digest: bytes) -> bytes:
        """The Signed bytes of a member record or roster, by record digest: what a cohort body carries."""
        return self._signed[digest]

    def _plan(self, key: bytes | None, signed: Signed) -> None:
        record = verify(signed, PlanRecord, self._registrar)
        plan = plan_of(record.plan)
        if plan.study != record.study or key != plan.digest:
            raise PeerError(f"plan record of {record.study}: study, key and plan do not agree")
        self._plans[plan.digest] = (plan, record)

    def _member(self, key: bytes | None, signed: Signed) -> None:
        member = verify(signed, Member, self._registrar)
        if key != member.name.encode():
            raise PeerError(f"member record of {member.name} stands under another key")
        digest = record_digest(signed.payload)
        self._members[digest] = member
        self._signed[digest] = signed.to_bytes()
        self._assemble()

    def _roster(self, signed: Signed) -> None:
        roster = verify(signed, Roster, self._registrar)
        digest = record_digest(signed.payload)
        if self._newest is not None and roster.serial < self._newest[1].serial:
            raise PeerError(f"roster serial fell from {self._newest[1].serial} to {roster.serial}")
        self._signed[digest] = signed.to_bytes()
        self._newest = (digest, roster)
        self._assemble()

    def _assemble(self) -> None:
        if self._newest is None:
            return
        digest, roster = self._newest
        if all(member in self._members for _, member in roster.members):
            self.membership = assemble(roster, digest, self._members)
