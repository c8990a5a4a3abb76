"""The registrar's acts on the log: members, roster, studies. Every record is signed with the registrar's key.

Knows:    what the log says now (read once at the start), which topics each act needs.
Never:    holds a member's private key, changes a plan; publishes anew what stands there already.

    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(card, institution="Clinic North", roles=(Role.SITE,))
        await registrar.publish_roster()
        await registrar.create_study(plan, Path("lung.initial"))
"""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import structlog

from protocol.digests import record_digest
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import Signs
from registry.grants import Grants, RulesDifference
from registry.initial import Progress, check_initial, upload_initial
from registry.keyfiles import MemberCard
from registry.members import SIZE_CAP_BYTES, NewMember, member_of, revoked
from registry.on_log import OnLog
from registry.topic_maker import TopicMaker
from schemas import topics
from schemas.codec import Record
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.records import Certificate, Member, PlanRecord, Role, Roster
from schemas.roster import Membership
from transport.admin import COMMAND_S, Admin, within
from transport.bodies import BodyWriter
from transport.reading.log import read_to_end
from transport.rules import Rules
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CreatedStudy:
    """A study on the log; `new` is false when it stood there already, whole."""

    digest: bytes
    record: PlanRecord
    new: bool


def next_serial(on_log: int, met: int, *, restore: bool) -> int:
    """The serial of the next roster. Raises LocalError where the log ends before the last one that was published."""
    if on_log < met and not restore:
        raise LocalError(
            f"the newest roster on the log has serial {on_log}, this registrar has published serial {met}: the "
            "topic of members is an older copy, and keys that were revoked since count in it",
            hint="publish every member that was changed since once more (`registrar approve --no-roster`; `registrar "
            "revoke` who was revoked), then `wardround registrar roster --restore`",
        )
    return max(on_log, met) + 1


class Registrar:
    """One connection for any number of acts. Each step that needs the broker raises TransientError after 10 s."""

    def __init__(
        self,
        settings: KafkaSettings,
        key: Signs,
        *,
        lead_partitions: int | None = None,
        replication: int | None = None,
        memory: RosterMemory | None = None,
    ) -> None:
        """How topics are made; those that exist are left as they are. `memory` is of the newest roster published.

        lead_partitions   how many coordinators can share the studies; it counts when the topic is made, once
        replication       on how many brokers each topic lies; None: three, or all of them where there are fewer
        """
        self._settings, self._key, self._memory = settings, key, memory
        self._link = Link(settings)
        self._admin = Admin(settings, self._link)
        self._writer = Writer(settings, self._link)
        self._topics = TopicMaker(self._admin, self._link, lead_partitions=lead_partitions, replication=replication)
        self._on_log = OnLog(key.public)
        self._grants = None if settings.security == PLAINTEXT else Grants(Rules(self._admin), self._on_log)

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(self._bounded(self._writer.start()), self._learn())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await asyncio.gather(self._writer.close(), self._admin.close())

    def refuse_foreign_log(self) -> None:
        """Raise LocalError when the log is another registrar's: its records would be hidden by ones of the same name.

        For commands: a person may have named the wrong broker or the wrong key.
        """
        if self._on_log.foreign and not self._on_log.members:
            raise LocalError(
                f"the log at {self._settings.bootstrap} belongs to another registrar; nothing was published",
                hint="is it the right broker (--broker), and the right key (--key)?",
            )

    def member(self, name: str) -> Member | None:
        """The newest record of a member, on the roster or not yet; None for a stranger."""
        return self._on_log.members.get(name)

    @property
    def membership(self) -> Membership | None:
        """The members of the newest roster; None before the first."""
        return self._on_log.membership

    async def publish_members(self, members: Iterable[NewMember]) -> list[Member]:
        """Make the sites' topics, then publish one record each. They count from the next roster on.

        A member that had other keys keeps them as retired: what was signed and sealed before still opens.
        """
        wanted = list(members)
        await self._topics.of_members([new.card.name for new in wanted])
        await self._topics.of_sites({new.card.name: new.size_cap_bytes for new in wanted if Role.SITE in new.roles})
        records = [member_of(new, self._on_log.members) for new in wanted]
        await asyncio.gather(*(self._publish_member(record) for record in records))
        await self._grant()
        return records

    async def publish_member(
        self,
        card: MemberCard,
        *,
        roles: tuple[Role, ...] = (Role.SITE,),
        institution: str = "",
        studies: tuple[str, ...] = (),
        size_cap_bytes: int = SIZE_CAP_BYTES,
    ) -> Member:
        """One member; see publish_members."""
        new = NewMember(card, roles, institution, studies, size_cap_bytes)
        return (await self.publish_members([new]))[0]

    async def publish_certificates(self, certificates: Iterable[Certificate]) -> None:
        """The newest certificate of each member, from which it is known which key may be renewed."""
        sent = (self._send(topics.CERTIFICATES, one, one.name.encode()) for one in certificates)
        await asyncio.gather(*sent)

    async def revoke(self, name: str) -> Roster:
        """Revoke every key of a member and publish the roster that says so: it counts from the next round on.

        Where the newest roster says so already, nothing is published. Raises LocalError for an unknown name.
        """
        member = self._on_log.members.get(name)
        if member is None:
            known = ", ".join(sorted(self._on_log.members))
            raise LocalError(f"no member {name} on the log", hint=f"members: {known or 'none'}")
        if self._grants is not None:  # before anything else: what it has open ends within milliseconds
            await self._bounded(self._grants.bar(name))
        if (without := revoked(member)) != member:
            await self._publish_member(without)
        roster = await self.publish_roster()
        await self._grant()
        return roster

    async def publish_roster(self, *, restore: bool = False) -> Roster:
        """Publish the newest record of every member as the next roster; the newest one where it says just that.

        restore   publish in any case, also over a log that is older than the last roster of this registrar: what its
                  members are was looked at. Otherwise such a log raises LocalError: it may list keys that were
                  revoked since.
        """
        met = self._memory.newest.serial if self._memory is not None and self._memory.newest is not None else 0
        newest, coordinators = self._on_log.roster, self._on_log.coordinators
        serial = next_serial(newest.serial if newest else 0, met, restore=restore)
        if len(coordinators) != 1:
            raise LocalError(
                f"a roster needs one coordinator, the members on the log have {len(coordinators)}",
                hint="publish it with `wardround registrar approve NAME.pub --role coordinator`",
            )
        if (standing := self._on_log.standing) is not None and standing.serial >= met and not restore:
            return self._met(standing)
        roster = Roster(serial, self._on_log.listed)
        await self._send(topics.MEMBERS, roster, topics.ROSTER_KEY)
        self._on_log.keep_roster(roster)
        return self._met(roster)

    async def create_study(
        self, plan: Plan, initial: Path | bytes, *, progress: Progress = lambda sent, total: None
    ) -> CreatedStudy:
        """Make the study's topics, upload version 0 (float32 little-endian), publish the plan.

        Publishing is the last step: after an interruption run it again. Topics that were deleted are made again, empty.
        Raises LocalError when version 0 is not the plan's, another plan has this study's name, no roster names a
        coordinator, or an auditor of the plan is not on it.
        """
        if (standing := self._on_log.plans.get(plan.digest)) is not None:
            await self._topics.of_study(plan.study)
            await self._grant()
            return CreatedStudy(plan.digest, standing[1], new=False)
        self._refuse_other(plan)
        membership = self.membership
        if membership is None:
            raise LocalError("there is no roster yet", hint="publish one with `wardround registrar roster`")
        _refuse_unknown_auditors(plan, membership)
        chunk_digests = await asyncio.to_thread(check_initial, plan, initial)
        await self._topics.of_study(plan.study)
        writer = BodyWriter(self._settings, self._link, self._writer)
        body = await upload_initial(plan, initial, chunk_digests, membership, writer, progress)
        record = PlanRecord(plan.study, plan.to_bytes(), body)
        await self._send(topics.PLANS, record, plan.digest)
        self._on_log.plans[plan.digest] = (plan, record)
        await self._grant()
        return CreatedStudy(plan.digest, record, new=True)

    async def rules_difference(self, *, apply: bool = False) -> RulesDifference:
        """How the broker's access rules differ from the table of rights; `apply` mends those of members.

        Raises LocalError where there are no rules, without TLS.
        """
        if self._grants is None:
            raise LocalError(
                f"{self._settings.bootstrap} is reached without TLS: it cannot tell members apart, and has no rules",
                hint="rights need certificates: leave --plaintext-on-purpose out",
            )
        return await self._bounded(self._grants.apply() if apply else self._grants.difference())

    async def _grant(self) -> None:
        if self._grants is not None:
            await self._bounded(self._grants.apply())

    async def _learn(self) -> None:
        """Make the federation's topics where they are missing, and read what is on them."""
        await self._topics.of_federation()
        topics_read = [topics.MEMBERS, topics.PLANS]
        self._on_log.read(await self._bounded(read_to_end(self._settings, self._link, topics_read)))
        self._on_log.refuse_handed_on()
        if self._on_log.foreign:
            count, broker = self._on_log.foreign, self._settings.bootstrap
            log.warning("records of another registrar ignored", count=count, broker=broker)

    def _met(self, roster: Roster) -> Roster:
        if self._memory is not None:
            self._memory.meet(Met(roster.serial, record_digest(roster.to_bytes())), self._key.public)
        return roster

    async def _publish_member(self, member: Member) -> None:
        await self._send(topics.MEMBERS, member, member.name.encode())
        self._on_log.keep(member)

    def _refuse_other(self, plan: Plan) -> None:
        for digest, (other, _) in self._on_log.plans.items():
            if other.study == plan.study:
                raise LocalError(
                    f"study {plan.study} stands on the log already, under plan {digest.hex()}",
                    hint="a plan never changes once published: give the new one another study id",
                )

    async def _send(self, topic: str, record: Record, key: bytes) -> None:
        await self._bounded(self._writer.send(topic, self._key.sign(record).to_bytes(), key))

    def _bounded(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        return within(awaitable, COMMAND_S, self._link)


def _refuse_unknown_auditors(plan: Plan, membership: Membership) -> None:
    known = membership.openers(plan.storage.auditors)
    if unknown := [name for name in plan.storage.auditors if name not in known]:
        raise LocalError(
            f"the plan's auditors {', '.join(unknown)} have no opening key on the roster",
            hint="approve each with `wardround registrar approve NAME.pub --role auditor`; "
            "a wrong name is mended in plan.toml, and the plan signed again",
        )
