"""The broker's access rules and quotas: what stands there, what is added and taken away.

Knows:    a rule is for whoever shows a certificate of a member's name, from any address.
Never:    touches a rule of somebody else's than the federation's members, unless it is handed that very rule.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from aiokafka.errors import for_code

from schemas.errors import LocalError
from schemas.rights import Operation, Resource, Rule
from transport.admin import Admin
from transport.requests import AclRow, AlterQuotas, CreateAcls, DeleteAcls, DescribeAcls, DescribeQuotas

_LITERAL, _PREFIXED = 3, 4
_DENY, _ALLOW = 2, 3
_USER, _ANYWHERE = "User:", "*"
_SECURITY_DISABLED, _NOT_ALLOWED = 54, 31


@dataclass(frozen=True, slots=True)
class Quota:
    """What one member's clients may use of each broker; beyond it they are slowed down, and nothing else.

    up_bytes_s, down_bytes_s   bytes a second written and read
    request_percent            of one thread of the broker
    """

    up_bytes_s: float
    down_bytes_s: float
    request_percent: float

    def words(self) -> dict[str, float | None]:
        return {
            "producer_byte_rate": self.up_bytes_s,
            "consumer_byte_rate": self.down_bytes_s,
            "request_percentage": self.request_percent,
        }


class Rules:
    """Each call waits for the broker for ever: wrap it in `within`. Raises LocalError where the broker refuses."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    async def existing(self) -> tuple[set[Rule], list[str]]:
        """The rules that say something of a kind that this federation's table uses, and the others in words."""
        answer = await self._admin.controller(DescribeAcls())
        _check(answer.error_code, answer.error_message)
        known, strange = set[Rule](), list[str]()
        for resource, name, pattern, acls in answer.resources:
            for principal, host, operation, permission in acls:
                row = (resource, name, pattern, principal, host, operation, permission)
                rule = _rule_of(row)
                if rule is None:
                    strange.append(_in_words(row))
                else:
                    known.add(rule)
        return known, strange

    async def add(self, rules: Collection[Rule]) -> None:
        """Those that are there already are left."""
        if rules:
            answer = await self._admin.controller(CreateAcls(_rows(rules)))
            for code, message in answer.creation_responses:
                _check(code, message)

    async def remove(self, rules: Collection[Rule]) -> None:
        """Those that are not there are no error."""
        if rules:
            answer = await self._admin.controller(DeleteAcls(_rows(rules)))
            for code, message, *_ in answer.filter_responses:
                _check(code, message)

    async def quotas(self) -> dict[str, dict[str, float]]:
        """By member, in Kafka's words."""
        answer = await self._admin.controller(DescribeQuotas())
        _check(answer.error_code, answer.error_message)
        return {dict(entity)["user"]: dict(values) for entity, values in answer.entries}

    async def set_quotas(self, quotas: Mapping[str, Quota | None]) -> None:
        """By member; None takes a member's away."""
        nothing = dict.fromkeys(Quota(0, 0, 0).words())
        wanted = {name: quota.words() if quota is not None else nothing for name, quota in quotas.items()}
        if wanted:
            for code, message, *_ in (await self._admin.controller(AlterQuotas(wanted))).entries:
                _check(code, message)


def _rows(rules: Iterable[Rule]) -> list[AclRow]:
    return [
        (
            rule.resource,
            rule.name,
            _PREFIXED if rule.prefix else _LITERAL,
            _USER + rule.member,
            _ANYWHERE,
            rule.operation,
            _ALLOW if rule.allow else _DENY,
        )
        for rule in sorted(rules)
    ]


def _rule_of(row: AclRow) -> Rule | None:
    resource, name, pattern, principal, host, operation, permission = row
    plain = principal.startswith(_USER) and host == _ANYWHERE and pattern in (_LITERAL, _PREFIXED)
    if not plain or resource not in set(Resource) or operation not in set(Operation):
        return None
    return Rule(
        principal.removeprefix(_USER), resource, name, pattern == _PREFIXED, operation, allow=permission == _ALLOW
    )


def _in_words(row: AclRow) -> str:
    resource, name, pattern, principal, host, operation, permission = row
    said = "allows" if permission == _ALLOW else "denies"
    return f"{said} {principal} from {host} operation {operation} at resource {resource} `{name}` (pattern {pattern})"


def _check(code: int, message: str | None) -> None:
    if code == _SECURITY_DISABLED:
        raise LocalError(
            "the brokers have no authorizer: whoever reaches them may read and write everything",
            hint="set authorizer.class.name and allow.everyone.if.no.acl.found=false on each broker, see "
            "docs/federation.md",
        )
    if code == _NOT_ALLOWED:
        raise LocalError(
            "the brokers do not let this certificate see or change access rules",
            hint="the registrar has to be in super.users of each broker, see docs/federation.md",
        )
    if code:
        raise LocalError(f"the broker refuses: {message or for_code(code).__name__}", hint="see the broker's own log")
