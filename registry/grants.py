"""Keeps the broker's access rules and quotas as the table of rights says for the members and studies on the log.

Knows:    rules of members alone are changed; what others have set up is told, and left.
Never:    takes a leave away before the new one stands.
"""

from dataclasses import dataclass

from registry.on_log import OnLog
from schemas.records import Role
from schemas.rights import Rule, bars, rules_of
from transport.rules import Quota, Rules

MIB = 1024 * 1024
#: per broker: half a 40 MB update a second, both ways twice as much down, and one whole thread of the broker
SITE_QUOTA = Quota(up_bytes_s=64 * MIB, down_bytes_s=128 * MIB, request_percent=100.0)


@dataclass(frozen=True, slots=True)
class RulesDifference:
    """What a cluster's rules lack, what they have beyond the table, and rules of a kind that the table has not."""

    missing: tuple[Rule, ...]
    beyond: tuple[Rule, ...]
    strange: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        return not (self.missing or self.beyond or self.strange)


class Grants:
    """The rules of the members on the log. Each call waits for the broker for ever: see `Rules`."""

    def __init__(self, rules: Rules, on_log: OnLog) -> None:
        self._rules, self._on_log = rules, on_log
        self._quotas_set: set[str] = set()

    async def difference(self) -> RulesDifference:
        """How the cluster differs from the table now."""
        wanted = self._wanted()
        there, strange = await self._rules.existing()
        return RulesDifference(tuple(sorted(wanted - there)), tuple(sorted(there - wanted)), tuple(strange))

    async def apply(self) -> RulesDifference:
        """Add what is missing, and take from members what they should not have any more; returns what differed."""
        found = await self.difference()
        await self._rules.add(found.missing)
        await self._rules.remove([rule for rule in found.beyond if rule.member in self._on_log.members])
        await self._apply_quotas()
        return found

    async def bar(self, name: str) -> None:
        """Keep a member out at once, whatever it may by other rules."""
        await self._rules.add(bars(name))

    async def _apply_quotas(self) -> None:
        sites = {name for name, member in self._on_log.members.items() if Role.SITE in member.roles}
        if sites - self._quotas_set:
            there = await self._rules.quotas()
            await self._rules.set_quotas({name: SITE_QUOTA for name in sites if name not in there})
            self._quotas_set |= sites

    def _wanted(self) -> set[Rule]:
        studies = sorted({plan.study for plan, _ in self._on_log.plans.values()})
        return rules_of(self._on_log.members.values(), studies)
