"""A small federation on a log in memory: everybody's keys, the registrar's records, a study with version 0.

Knows:    the keys are fresh in each history; nothing that is compared between histories depends on them.
"""

from dataclasses import dataclass, replace
from functools import cache

from protocol.digests import BodyHasher, digest_of, initial_subject, record_digest
from protocol.directory import Directory
from protocol.sealing import ChunkSealer, OpenKey, body_box, new_body_key
from protocol.signing import SigningKey
from schemas import topics
from schemas.codec import Record
from schemas.plan import Plan
from schemas.records import BodyRef, KeyState, KeyUse, Member, MemberKey, PlanRecord, Role, Roster
from simulation.plans import plan_of
from simulation.ports.memory import MemoryLog, federation_settings

COORDINATOR = "coordinator"
PARAMETERS = 8


@dataclass(frozen=True, slots=True)
class Keys:
    """A member's own."""

    signing: SigningKey
    opening: OpenKey


@cache
def keys_of(name: str) -> Keys:
    """Made once in a process: making them is most of what a history would cost."""
    return Keys(SigningKey.generate(), OpenKey.generate())


def small_plan(*, sites: int, versions: int) -> Plan:
    """A study of PARAMETERS numbers that begin at 0; every site is in every cohort."""
    plan = plan_of(goal=sites, versions=versions, parameters=PARAMETERS)
    return replace(plan, initial=digest_of([bytes(4 * PARAMETERS)]))


@dataclass(slots=True)
class Federation:
    """Who belongs, and what the registrar has put on the log."""

    log: MemoryLog
    plan: Plan
    sites: tuple[str, ...]
    directory: Directory
    record: PlanRecord

    @classmethod
    def begin(cls, log: MemoryLog, plan: Plan, sites: tuple[str, ...]) -> "Federation":
        """Topics, members, roster, plan and the body of version 0."""
        log.create(federation_settings(plan.study, sites))
        registrar = keys_of("registrar").signing
        directory = Directory(registrar.public)
        roles = {COORDINATOR: Role.COORDINATOR, **dict.fromkeys(sites, Role.SITE)}

        def publish(topic: str, key: bytes, record: Record) -> None:
            value = registrar.sign(record).to_bytes()
            log.append(topic, value, key)
            directory.feed(topic, key, value)

        members = [_member(name, role) for name, role in sorted(roles.items())]
        for member in members:
            publish(topics.MEMBERS, member.name.encode(), member)
        named = tuple((member.name, record_digest(member.to_bytes())) for member in members)
        publish(topics.MEMBERS, topics.ROSTER_KEY, Roster(1, named))
        record = PlanRecord(plan.study, plan.to_bytes(), _initial(log, plan))
        publish(topics.PLANS, plan.digest, record)
        return cls(log, plan, sites, directory, record)


def _member(name: str, role: Role) -> Member:
    signing, opening = keys_of(name).signing, keys_of(name).opening
    keys = (
        MemberKey(KeyUse.SIGN, signing.key_id, signing.public, KeyState.ACTIVE),
        MemberKey(KeyUse.OPEN, opening.key_id, opening.public, KeyState.ACTIVE),
    )
    return Member(name, name, (), (role,), keys)


def _initial(log: MemoryLog, plan: Plan) -> BodyRef:
    body, key, subject = bytes(4 * plan.parameters), new_body_key(), initial_subject(plan.study)
    hasher, opening = BodyHasher(), keys_of(COORDINATOR).opening
    hasher.update(body)
    _, chunk_digests = hasher.finish()
    offset = log.append(topics.REGISTRAR_BODIES, ChunkSealer(key, subject, 1).seal(0, body))
    box = body_box(opening.public, COORDINATOR, opening.key_id, subject, key)
    return BodyRef(0, len(body), ((offset, 1),), chunk_digests, (box,))
