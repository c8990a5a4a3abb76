"""What the registrar says: members, roster and plans, as one view that every role builds from the same two topics.

Knows:    which records are valid (the registrar's signature, topic, key), which roster is the newest; who the
          registrar's keys are, from the pinned one on. In which order records come is of no account.
Never:    reads a topic itself; a roster whose serial falls is refused.
"""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from protocol.digests import record_digest
from protocol.registrar_keys import RegistrarKeys, Unheard, UnknownKeyError, is_handed_on
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import key_id
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
FORKED_HINT = (
    "the registrar's former key was stolen, or handed on twice: ask the registrar on the telephone for the fingerprint "
    "of its newest key, put that registrar.pub in the place of the one under [keys], and start again"
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
        self.keys = RegistrarKeys(registrar)
        self._memory, self._unheard = memory, Unheard()
        self._believed = self._strange = 0  # records that were fed
        self._members: dict[bytes, Member] = {}
        self._signed: dict[bytes, bytes] = {}
        self._plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self._rosters: dict[bytes, tuple[bytes, Roster]] = {}  # digest -> (key_id of its signer, roster), as they came
        self._newest: tuple[bytes, Roster] | None = None
        self.membership: Membership | None = None

    @property
    def behind(self) -> str:
        """Why the log must not be worked by; empty while nothing is wrong. `to_do` says what to do about it.

        It ends before the newest roster or registrar's key that was met, or names two successors of one key.
        """
        if self.keys.forked:
            return self.keys.forked
        if self._memory is None or self._memory.newest is None:
            return ""
        if self._memory.key not in self.keys:
            met_key = key_id(self._memory.key).hex()
            return f"the log does not lead to the registrar's key {met_key}, which was met here before; {OLDER}"
        met = self._memory.newest
        if self.membership is not None:
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
    def to_do(self) -> str:
        """What to do where the log is `behind`."""
        return FORKED_HINT if self.keys.forked else OLDER_HINT

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
        return key_id(self.keys.pinned).hex()

    def signed(self, digest: bytes) -> bytes:
        """The Signed bytes of a member record or roster, by record digest: what a cohort body carries."""
        return self._signed[digest]

    def _take(self, topic: str, key: bytes | None, signed: Signed) -> None:
        try:
            if topic == topics.PLANS:
                self._plan(key, signed)
            elif key == topics.ROSTER_KEY:
                self._roster(signed)
            elif is_handed_on(signed):
                self._handed_on(key, signed)
            else:
                self._member(key, signed)
        except UnknownKeyError:
            self._unheard.keep(topic, key, signed)
            raise

    def _handed_on(self, key: bytes | None, signed: Signed) -> None:
        """A further key of the registrar: what was signed with it counts, also what was read before."""
        if key != topics.registrar_key(signed.key_id):
            raise PeerError("a registrar's next key stands under another key")
        if not self.keys.add(signed):
            return
        for topic, place, heard in self._unheard.take():
            with suppress(PeerError):  # refused when it was fed
                self._take(topic, place, heard)
                self._believed += 1
        self._choose()

    def _plan(self, key: bytes | None, signed: Signed) -> None:
        record = self.keys.verify(signed, PlanRecord)
        plan = plan_of(record.plan)
        if plan.study != record.study or key != plan.digest:
            raise PeerError(f"plan record of {record.study}: study, key and plan do not agree")
        self._plans[plan.digest] = (plan, record)

    def _member(self, key: bytes | None, signed: Signed) -> None:
        member = self.keys.verify(signed, Member)
        if key != member.name.encode():
            raise PeerError(f"member record of {member.name} stands under another key")
        digest = record_digest(signed.payload)
        self._members[digest] = member
        self._signed[digest] = signed.to_bytes()
        self._assemble()

    def _roster(self, signed: Signed) -> None:
        roster = self.keys.roster(signed)
        digest = record_digest(signed.payload)
        self._signed[digest] = signed.to_bytes()
        self._rosters.pop(digest, None)
        self._rosters[digest] = signed.key_id, roster
        before = self._newest
        self._choose()
        if before is not None and roster.serial < before[1].serial:
            raise PeerError(f"roster serial fell from {before[1].serial} to {roster.serial}")

    def _choose(self) -> None:
        """The newest roster of those that their signer might sign: one key more may have ended the time of another."""
        self._newest = None
        for digest, (signer, roster) in self._rosters.items():
            fits = self.keys.may_sign(signer, roster.serial)
            if fits and (self._newest is None or roster.serial >= self._newest[1].serial):
                self._newest = digest, roster
            if not fits and self.membership is not None and self.membership.digest == digest:
                self.membership = None
        self._assemble()

    def _assemble(self) -> None:
        if self._newest is None or self.keys.forked:
            return
        digest, roster = self._newest
        if not self._is_met(roster.serial, digest):
            return
        if all(member in self._members for _, member in roster.members):
            self.membership = assemble(roster, digest, self._members)
            if self._memory is not None:
                self._memory.meet(Met(roster.serial, digest), self.keys.newest)

    def _is_met(self, serial: int, digest: bytes) -> bool:
        """Whether nothing newer than this roster was met here before, and no key that the log does not lead to."""
        if self._memory is None or self._memory.newest is None:
            return True
        met = self._memory.newest
        newer = serial > met.serial or (serial == met.serial and digest == met.digest)
        return newer and self._memory.key in self.keys
