"""Who may do what at the broker: one table, from which come its rules, their check, the page of them, and the tests.

Knows:    a name stands for the topic or group of just that name, or for all that begin with it.
Never:    names a right that nobody uses. What is not in the table is not allowed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from schemas import topics
from schemas.records import KeyState, Member, Role
from schemas.records.registrar import RENEWER_NAME

ELECTION_GROUP = "lead"  # the group in which coordinators agree on who leads


class Resource(IntEnum):
    """Kafka's numbers (ResourceType)."""

    TOPIC = 2
    GROUP = 3
    TRANSACTIONAL_ID = 5


class Operation(IntEnum):
    """Kafka's numbers (AclOperation). Who may read, write or delete may describe."""

    ALL = 2
    READ = 3
    WRITE = 4
    DELETE = 6
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


@dataclass(frozen=True, slots=True)
class Right:
    """Leave to do `operations` at what is called `name`, or, with `prefix`, whose name begins so."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    why: str
    prefix: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One access rule (ACL) at the broker, for everybody who shows a certificate of `member`'s name."""

    member: str
    resource: int
    name: str
    prefix: bool
    operation: int
    allow: bool = True

    def __str__(self) -> str:
        what = f"{Resource(self.resource).name.lower().replace('_', ' ')} {self.name}{'*' if self.prefix else ''}"
        return f"{self.member} {'may' if self.allow else 'may not'} {Operation(self.operation).name.lower()} {what}"


_STUDIES = f"{topics.PREFIX}study."
_READ, _WRITE = (Operation.READ,), (Operation.WRITE,)


def _topic(name: str, operations: tuple[Operation, ...], why: str, *, prefix: bool = False) -> Right:
    return Right(Resource.TOPIC, name, operations, why, prefix)


_WHO_BELONGS = (
    _topic(topics.MEMBERS, _READ, "who belongs, with which keys"),
    _topic(topics.PLANS, _READ, "the studies' plans"),
    _topic(topics.CERTIFICATES, _READ, "its next certificate"),
)
_OBSERVE = (_topic(topics.PREFIX, _READ, "everything that is sealed or signed, to watch or to prove it", prefix=True),)


#: of the process that renews certificates unattended: it can neither add a member nor read a study
RENEWER_RIGHTS = (
    *_WHO_BELONGS[:1],
    _topic(topics.renewals(""), _READ, "what members ask for", prefix=True),
    _topic(topics.CERTIFICATES, (*_READ, *_WRITE), "the certificates that it gives out"),
)


def _of_site(name: str) -> tuple[Right, ...]:
    return (
        *_WHO_BELONGS,
        _topic(topics.offers(name), (*_WRITE, *_READ), "its own offers, measurements and signs of life"),
        _topic(topics.bodies(name), _WRITE, "its own updates"),
    )


def _of_coordinator(name: str) -> tuple[Right, ...]:
    return (
        *_WHO_BELONGS,
        _topic(topics.REGISTRAR_BODIES, _READ, "version 0"),
        _topic(topics.offers(""), _READ, "what sites offer", prefix=True),
        _topic(topics.bodies(""), _READ, "sites' updates", prefix=True),
        _topic(_STUDIES, (*_READ, Operation.DESCRIBE_CONFIGS), "what it and its predecessors wrote", prefix=True),
        _topic(topics.LEAD, _READ, "the election's partitions"),
        Right(Resource.GROUP, ELECTION_GROUP, _READ, "the election of a leader"),
        Right(Resource.TRANSACTIONAL_ID, topics.lead_id_prefix(), _WRITE, "the fence of leaders", prefix=True),
    )


#: role -> what goes with it for a member of that name
RIGHTS: Mapping[Role, Callable[[str], tuple[Right, ...]]] = {
    Role.SITE: _of_site,
    Role.COORDINATOR: _of_coordinator,
    Role.TRUSTEE: lambda name: _WHO_BELONGS,
    Role.AUDITOR: lambda name: _OBSERVE,
    Role.OPERATOR: lambda name: _OBSERVE,
}


def _site_in(study: str) -> tuple[Right, ...]:
    return (
        _topic(topics.rounds(study), _READ, "versions and their cohorts"),
        _topic(topics.receipts(study), _READ, "what became of its updates"),
        _topic(topics.models(study), _READ, "the models"),
        _topic(topics.keys(study), _READ, "the keys that are sealed to it"),
        _topic(topics.commands(study), _READ, "what operators have ordered, and why"),
    )


def _coordinator_in(study: str) -> tuple[Right, ...]:
    return (
        _topic(topics.rounds(study), _WRITE, "versions and their cohorts"),
        _topic(topics.receipts(study), _WRITE, "receipts"),
        _topic(topics.models(study), (*_WRITE, Operation.DELETE), "models, and the trimming of old ones"),
        _topic(topics.keys(study), _WRITE, "the keys of the study"),
        _topic(topics.bookmark(study), _WRITE, "its bookmark"),
    )


#: role -> what goes with it in one study
RIGHTS_IN_STUDY: Mapping[Role, Callable[[str], tuple[Right, ...]]] = {
    Role.SITE: _site_in,
    Role.COORDINATOR: _coordinator_in,
    Role.OPERATOR: lambda study: (_topic(topics.commands(study), _WRITE, "commands"),),
}


def rights_of(member: Member, studies: Iterable[str]) -> list[Right]:
    """All rights of a member, its roles together; `studies` are those of the federation.

    A member none of whose keys counts any more has none.
    """
    if is_out(member):
        return []
    inside = [study for study in studies if not member.studies or study in member.studies]
    return rights_with(member.name, [Role(role) for role in member.roles], inside)


def rights_with(name: str, roles: Iterable[Role], studies: Iterable[str]) -> list[Right]:
    """The rights that go with roles, for a member of that name which takes part in `studies`."""
    roles, studies = list(roles), list(studies)
    found = [_topic(topics.renewals(name), _WRITE, "what it asks its next certificate with")]
    found += [right for role in roles for right in RIGHTS[role](name)]
    found += [right for role in roles if role in RIGHTS_IN_STUDY for s in studies for right in RIGHTS_IN_STUDY[role](s)]
    return list(dict.fromkeys(found))


def rules_of(members: Iterable[Member], studies: Iterable[str]) -> set[Rule]:
    """Every rule that the broker should have: leave by the table, and a bar for whoever was revoked."""
    named = list(studies)
    found = {rule for right in RENEWER_RIGHTS for rule in _rules(RENEWER_NAME, right)}
    for member in members:
        if is_out(member):
            found |= bars(member.name)
        found |= {rule for right in rights_of(member, named) for rule in _rules(member.name, right)}
    return found


def _rules(name: str, right: Right) -> set[Rule]:
    return {Rule(name, right.resource, right.name, right.prefix, operation) for operation in right.operations}


def bars(name: str) -> set[Rule]:
    """What keeps a member out that was revoked: a broker asks for it before any leave, on open connections too."""
    return {Rule(name, resource, "*", prefix=False, operation=Operation.ALL, allow=False) for resource in Resource}


def is_out(member: Member) -> bool:
    """Whether every key of a member is revoked."""
    return all(key.state == KeyState.REVOKED for key in member.keys)
