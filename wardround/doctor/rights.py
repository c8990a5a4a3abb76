"""Whether the brokers let this member do what the table of rights says, and nobody everything."""

from collections.abc import Iterable

from schemas.records import Role
from schemas.rights import Resource, Right, rights_with
from transport.looking import may
from transport.settings import PLAINTEXT
from wardround.doctor.case import Case
from wardround.doctor.finding import KAFKA, REGISTRAR, Check, Said, Skip, ok, wrong

_CREATE, _ALTER = 5, 7  # Kafka's numbers of operations that no member has at a cluster
_TRIED = "doctor"  # behind a prefix: a name that nobody uses


def rights_here(case: Case, studies: Iterable[str]) -> list[Right]:
    """By the table: with the roles that the roster knows this member under, else those that it has to have."""
    membership = case.directory.membership if case.directory is not None else None
    member = membership.members.get(case.name) if membership is not None else None
    roles = [Role(role) for role in member.roles] if member is not None else case.who.roles
    return rights_with(case.name, roles, studies)


def rights_in_studies(case: Case) -> list[Right]:
    """What goes with the studies alone."""
    without = rights_here(case, ())
    return [right for right in rights_here(case, case.plans) if right not in without]


async def barred(case: Case) -> Said:
    rights = rights_here(case, ())
    lacks = await lacking(case, rights)
    count = sum(len(right.operations) for right in rights)
    if len(lacks) == count:
        return wrong(f"none of {count} rights is granted to {case.name}: it was revoked, or never let in")
    return ok(f"the brokers know {case.name}")


async def access_rules(case: Case) -> Said:
    return await _tried(case, rights_here(case, ()))


async def study_access_rules(case: Case) -> Said:
    return await _tried(case, rights_in_studies(case))


async def authorizer(case: Case) -> Said:
    if case.reached.security == PLAINTEXT:
        raise Skip("not needed: without `encryption` no broker can tell members apart")
    assert case.looking is not None
    operations = (await case.looking.cluster(())).operations
    if may(operations, _CREATE) or may(operations, _ALTER):
        return wrong(f"{case.name} may create topics and change the cluster: nobody's rights are checked")
    return ok(f"{case.name} may change nothing of the cluster")


async def lacking(case: Case, rights: Iterable[Right]) -> list[str]:
    """Those of the rights that the brokers do not grant, in words."""
    assert case.looking is not None
    rights = list(rights)
    tried = {right: right.name + _TRIED if right.prefix else right.name for right in rights}
    topics = [name for right, name in tried.items() if right.resource == Resource.TOPIC]
    seen = (await case.looking.cluster(topics)).topics
    lacks = []
    for right, name in tried.items():
        if right.resource == Resource.TRANSACTIONAL_ID:
            granted = dict.fromkeys(right.operations, await case.looking.may_begin(name))
        else:
            bits = seen[name].operations if right.resource == Resource.TOPIC else await case.looking.group(name)
            granted = {operation: may(bits, operation) for operation in right.operations}
        what = f"{right.resource.name.lower().replace('_', ' ')} {right.name}{'*' if right.prefix else ''}"
        lacks += [f"{operation.name.lower()} {what}" for operation, given in granted.items() if not given]
    return lacks


async def _tried(case: Case, rights: list[Right]) -> Said:
    if lacks := await lacking(case, rights):
        return wrong(f"{case.name} may not: {', '.join(lacks)}")
    return ok(f"each of {len(rights)} rights is granted")


_GRANT = "have the registrar run `wardround registrar acl apply`; it grants what the table of rights says"

BARRED = Check(
    "barred",
    "whether the brokers let this member do anything",
    "The brokers let this member do nothing: it was revoked, or was never let in.",
    "ask whether this member was revoked, or was not approved yet",
    REGISTRAR,
    barred,
    ("broker",),
)
ACCESS = Check(
    "access-rules",
    "each right of this member, without writing anything",
    "A right is missing that this member needs.",
    _GRANT,
    REGISTRAR,
    access_rules,
    ("barred",),
)
IN_STUDIES = Check(
    "study-access-rules",
    "each right of this member in its studies",
    "A right is missing that this member needs in a study.",
    _GRANT,
    REGISTRAR,
    study_access_rules,
    ("plans",),
)
AUTHORIZER = Check(
    "authorizer",
    "whether the brokers check rights at all",
    "The brokers check nobody's rights: whoever reaches them may read, write and delete everything.",
    "set authorizer.class.name and allow.everyone.if.no.acl.found=false on every broker, and start them again",
    KAFKA,
    authorizer,
    ("broker",),
)
