"""What the registrar says: members, roster and plans, as one view that every role builds from the same two topics.

Knows:    which records are valid (the registrar's signature, topic, key), which roster is the newest.
Never:    reads a topic itself; a roster whose serial falls is refused.
"""

from collections.abc import Mapping
from types import MappingProxyType

from protocol.digests import record_digest
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import key_id, verify
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan, plan_of
from schemas.records import Member, PlanRecord, Roster, Signed
from schemas.roster import Membership, assemble

OLDER = "the topic of members is an older copy, in which keys count that were revoked since"
OLDER_HINT = (
    "ask whoever runs the broker what was put back, and the registrar to publish the members and a roster of a higher "
    "serial; if this log is meant to be another federation's, give this service a data folder of its own"
)
ANOTHERS_HINT = (
    "is the registrar.pub under [keys] that of this federation, and [kafka] bootstrap its broker? The registrar can "
    "read out its fingerprint"
)


class Directory:
    """Feed it every record of `wardround.members` and `wardround.plans`; read `membership` and `plans`."""

    def __init__(self, registrar: bytes, memory: RosterMemory | None = None) -> None:
        """`registrar` is the registrar's Ed25519 public key, pinned at enrolment; `memory` is of the newest roster met.

        What is older than that makes no membership: see `behind`.
        """
        self._registrar, self._memory = registrar, memory
        self._believed = self._strange = 0  # records that were fed
        self._members: dict[bytes, Member] = {}
        self._signed: dict[bytes, bytes] = {}
        self._plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self._newest: tuple[bytes, Roster] | None = None
        self.membership: Membership | None = None

    @property
    def behind(self) -> str:
        """What is wrong with a log that ends before the newest roster that was met; empty while nothing is."""
        met = self._memory.newest if self._memory is not None else None
        if met is None or self.membership is not None:
            return ""
        if self._newest is None:
            return f"the log holds no roster, serial {met.serial} was met here before; {OLDER}"
        found = self._newest[1].serial
        if found == met.serial and self._newest[0] != met.digest:
            return f"the log holds another roster of serial {found} than the one that was met here before; {OLDER}"
        if found < met.serial:
            return f"the newest roster on the log has serial {found}, serial {met.serial} was met here before; {OLDER}"
        return ""

    @property
    def plans(self) -> Mapping[bytes, tuple[Plan, PlanRecord]]:
        """Plans by digest, with their records."""
        return MappingProxyType(self._plans)

    def feed(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take one record of the two topics. Raises PeerError for one that the registrar did not write like this."""
        if value is None:
            return
        try:
            self._take(topic, key, Signed.from_bytes(value))
        except PeerError:
            self._strange += 1
            raise
        self._believed += 1

    @property
    def is_anothers(self) -> bool:
        """Whether records are there and none is by this registrar: the wrong key is pinned, or the wrong log."""
        return bool(self._strange) and not self._believed

    @property
    def registrar_id(self) -> str:
        """The fingerprint of the registrar's key that is pinned here."""
        return key_id(self._registrar).hex()

    def _take(self, topic: str, key: bytes | None, signed: Signed) -> None:
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
        met = self._memory.newest if self._memory is not None else None
        if met is not None and (roster.serial < met.serial or (roster.serial == met.serial and digest != met.digest)):
            return
        if all(member in self._members for _, member in roster.members):
            self.membership = assemble(roster, digest, self._members)
            if self._memory is not None:
                self._memory.meet(Met(roster.serial, digest))
