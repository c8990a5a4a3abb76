"""The registrar's acts on the log: members, roster, studies. Every record is signed with the registrar's key.

Knows:    what the log says now (read once at the start), which topics each act needs.
Never:    holds a member's private key, changes a plan.
Used by:  wardround.commands, wardround.demo, tests.

    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(card, institution="Clinic North", roles=(Role.SITE,))
        await registrar.publish_roster()
        await registrar.create_study(plan, Path("lung.initial"))
"""

import asyncio
from collections.abc import Awaitable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import structlog

from protocol.digests import record_digest
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import SigningKey, verify
from registry.initial import Progress, check_initial, upload_initial
from registry.keyfiles import MemberCard
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan, plan_of
from schemas.records import KeyState, Member, MemberKey, PlanRecord, Role, Roster, Signed
from schemas.roster import Membership, assemble
from transport.admin import Admin, TopicDifference, TopicSpec, within
from transport.bodies import BodyWriter
from transport.reading.log import Entry, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.replication import REPLICATION
from transport.writing.writer import Writer

BROKER_S = 10.0
SIZE_CAP_BYTES = 20 * 2**30
KEYS_MAX = 16
_OFFERS_CAP = frozenset({"retention.bytes", "segment.bytes"})  # of offers topics made before there was a cap
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewMember:
    """What one Member record will say; `studies` empty: all of them. `size_cap_bytes` bounds a site's bodies topic."""

    card: MemberCard
    roles: tuple[Role, ...]
    institution: str = ""
    studies: tuple[str, ...] = ()
    size_cap_bytes: int = SIZE_CAP_BYTES


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
            hint="publish every member that was changed since once more (`registrar member`, with --revoke who was "
            "revoked), then `wardround registrar roster --restore`",
        )
    return max(on_log, met) + 1


class Registrar:
    """One connection for any number of acts. Each step that needs the broker raises TransientError after 10 s."""

    def __init__(
        self,
        settings: KafkaSettings,
        key: SigningKey,
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
        self._lead_partitions, self._replication = lead_partitions, replication
        self._told: set[TopicDifference] = set()
        self._link = Link(settings)
        self._admin = Admin(settings, self._link)
        self._writer = Writer(settings, self._link)
        self.members: dict[str, tuple[Member, bytes]] = {}  # newest record of each name, and its digest
        self.roster: Roster | None = None
        self.plans: dict[bytes, tuple[Plan, PlanRecord]] = {}
        self.foreign = 0  # records on the log that are not this registrar's
        self._by_digest: dict[bytes, Member] = {}

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
        if self.foreign and not self.members:
            raise LocalError(
                f"the log at {self._settings.bootstrap} belongs to another registrar; nothing was published",
                hint="is it the right broker (--broker), and the right key (--key)?",
            )

    @property
    def membership(self) -> Membership | None:
        """The members of the newest roster; None before the first."""
        if self.roster is None:
            return None
        return assemble(self.roster, record_digest(self.roster.to_bytes()), self._by_digest)

    async def publish_members(self, members: Iterable[NewMember]) -> list[Member]:
        """Make the sites' topics, then publish one record each. They count from the next roster on.

        A member that had other keys keeps them as retired: what was signed and sealed before still opens.
        """
        wanted = list(members)
        specs = [spec for new in wanted if Role.SITE in new.roles for spec in _site_topics(new)]
        await self._make_topics(specs, mend=_OFFERS_CAP)
        records = [self._merged(new) for new in wanted]
        await asyncio.gather(*(self._publish_member(record) for record in records))
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

    async def revoke(self, name: str) -> Roster:
        """Revoke every key of a member and publish the roster that says so: it counts from the next round on."""
        if name not in self.members:
            raise LocalError(
                f"no member {name} on the log", hint=f"members: {', '.join(sorted(self.members)) or 'none'}"
            )
        member = self.members[name][0]
        keys = tuple(replace(key, state=KeyState.REVOKED) for key in member.keys)
        await self._publish_member(replace(member, keys=keys))
        return await self.publish_roster()

    async def publish_roster(self, *, restore: bool = False) -> Roster:
        """Publish the next roster: the newest record of every member.

        restore   go on over a log that is older than the last roster of this registrar; what its members are was
                  looked at. Otherwise such a log raises LocalError: it may list keys that were revoked since.
        """
        met = self._memory.newest.serial if self._memory is not None and self._memory.newest is not None else 0
        serial = next_serial(self.roster.serial if self.roster else 0, met, restore=restore)
        coordinators = [name for name, (member, _) in self.members.items() if Role.COORDINATOR in member.roles]
        if len(coordinators) != 1:
            raise LocalError(
                f"a roster needs one coordinator, the members on the log have {len(coordinators)}",
                hint="publish it with `wardround registrar member NAME.pub --role coordinator`",
            )
        listed = tuple(sorted((name, digest) for name, (_, digest) in self.members.items()))
        roster = Roster(serial, listed)
        await self._send(topics.MEMBERS, self._key.sign(roster), topics.ROSTER_KEY)
        self.roster = roster
        if self._memory is not None:
            self._memory.meet(Met(serial, record_digest(roster.to_bytes())))
        return roster

    async def create_study(
        self, plan: Plan, initial: Path | bytes, *, progress: Progress = lambda sent, total: None
    ) -> CreatedStudy:
        """Make the study's topics, upload version 0 (float32 little-endian), publish the plan.

        Publishing is the last step: after an interruption run it again. Topics that were deleted are made again, empty.
        Raises LocalError when version 0 is not the plan's, another plan has this study's name, no roster names a
        coordinator, or an auditor of the plan is not on it.
        """
        if (standing := self.plans.get(plan.digest)) is not None:
            await self._make_topics(_specs(topics.study_topics(plan.study)))
            return CreatedStudy(plan.digest, standing[1], new=False)
        self._refuse_other(plan)
        membership = self.membership
        if membership is None:
            raise LocalError("there is no roster yet", hint="publish one with `wardround registrar roster`")
        _refuse_unknown_auditors(plan, membership)
        chunk_digests = await asyncio.to_thread(check_initial, plan, initial)
        await self._make_topics(_specs(topics.study_topics(plan.study)))
        writer = BodyWriter(self._settings, self._link, self._writer)
        body = await upload_initial(plan, initial, chunk_digests, membership, writer, progress)
        record = PlanRecord(plan.study, plan.to_bytes(), body)
        await self._send(topics.PLANS, self._key.sign(record), plan.digest)
        self.plans[plan.digest] = (plan, record)
        return CreatedStudy(plan.digest, record, new=True)

    async def _learn(self) -> None:
        """Make the federation's topics where they are missing, and read what is on them."""
        wanted = topics.federation_topics()
        await self._make_topics(_specs({name: config for name, config in wanted.items() if name != topics.LEAD}))
        await self._make_lead()
        thin = self._admin.thin_topics(topics.PREFIX, replication=self._replication)
        self._tell(await self._bounded(thin))
        read = read_to_end(self._settings, self._link, [topics.MEMBERS, topics.PLANS])
        for entry in await self._bounded(read):
            try:
                self._take(entry)
            except PeerError as error:
                self.foreign += 1
                log.info("record ignored", topic=entry.topic, offset=entry.offset, reason=str(error))
        if self.foreign:
            log.warning("records of another registrar ignored", count=self.foreign, broker=self._settings.bootstrap)

    async def _make_lead(self) -> None:
        """The number of partitions decides who fences whom, so it never changes while a coordinator may run."""
        count = self._lead_partitions or topics.LEAD_PARTITIONS
        spec = TopicSpec(topics.LEAD, count, topics.federation_topics()[topics.LEAD])
        differences = await self._bounded(self._admin.create_topics([spec], replication=self._replication))
        actual = next((one.actual for one in differences if one.setting == "partitions"), None)
        if self._lead_partitions is not None and actual is not None:
            raise LocalError(
                f"{topics.LEAD} was made with {actual} partitions and keeps them, {count} are asked for",
                hint="leave --lead-partitions out",
            )
        self._tell(one for one in differences if one.setting != "partitions")

    def _take(self, entry: Entry) -> None:
        if entry.value is None:
            return
        signed = Signed.from_bytes(entry.value)
        if entry.topic == topics.PLANS:
            record = verify(signed, PlanRecord, self._key.public)
            plan = plan_of(record.plan)
            self.plans[plan.digest] = (plan, record)
        elif entry.key == topics.ROSTER_KEY:
            roster = verify(signed, Roster, self._key.public)
            self.roster = max(roster, self.roster or roster, key=lambda one: one.serial)
        else:
            self._keep(verify(signed, Member, self._key.public))

    def _keep(self, member: Member) -> None:
        digest = record_digest(member.to_bytes())
        self.members[member.name] = (member, digest)
        self._by_digest[digest] = member

    def _merged(self, new: NewMember) -> Member:
        """The record for `new`: its keys active, those it had before retired (or revoked, as they were)."""
        card, known = new.card, self.members.get(new.card.name)
        active = card.keys()
        _refuse_foreign_keys(card.name, active, {name: member for name, (member, _) in self.members.items()})
        fresh = {key.key_id for key in active}
        before = [key for key in (known[0].keys if known else ()) if key.key_id not in fresh]
        older = tuple(key if key.state == KeyState.REVOKED else replace(key, state=KeyState.RETIRED) for key in before)
        try:
            return Member(
                name=card.name,
                institution=new.institution or (known[0].institution if known else card.name),
                studies=tuple(sorted(set(new.studies))),
                roles=tuple(sorted({int(role) for role in new.roles})),
                keys=(*active, *older)[:KEYS_MAX],
            )
        except ValueError as error:
            raise LocalError(str(error)) from None

    async def _publish_member(self, member: Member) -> None:
        await self._send(topics.MEMBERS, self._key.sign(member), member.name.encode())
        self._keep(member)

    def _refuse_other(self, plan: Plan) -> None:
        for digest, (other, _) in self.plans.items():
            if other.study == plan.study:
                raise LocalError(
                    f"study {plan.study} stands on the log already, under plan {digest.hex()}",
                    hint="a plan never changes once published: give the new one another study id",
                )

    async def _make_topics(self, specs: Iterable[TopicSpec], *, mend: Container[str] = ()) -> None:
        """Make what is missing; of what is there, settings in `mend` of a topic that has too few limits are changed."""
        differences = await self._bounded(self._admin.create_topics(specs, replication=self._replication))
        offers = topics.offers("")
        mended = [one for one in differences if one.topic.startswith(offers) and one.setting in mend]
        for one in mended:
            await self._bounded(self._admin.change(one.topic, {one.setting: one.wanted}))
            log.info("topic mended", topic=one.topic, setting=one.setting, before=one.actual, now=one.wanted)
        self._tell(one for one in differences if one not in mended)

    def _tell(self, differences: Iterable[TopicDifference]) -> None:
        """Each difference once, with what to do; a change here could hold up who writes."""
        for one in differences:
            if one not in self._told:
                self._told.add(one)
                told = {"topic": one.topic, "setting": one.setting, "wanted": one.wanted, "actual": one.actual}
                log.warning("topic differs", **told, do=_remedy(one))

    async def _send(self, topic: str, signed: Signed, key: bytes) -> None:
        await self._bounded(self._writer.send(topic, signed.to_bytes(), key))

    def _bounded(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        return within(awaitable, BROKER_S, self._link)


def _refuse_foreign_keys(name: str, keys: Iterable[MemberKey], members: Mapping[str, Member]) -> None:
    """A key that belongs to another member, or was revoked, never becomes active again."""
    wanted = {key.key_id for key in keys}
    for other in members.values():
        for key in other.keys:
            if key.key_id in wanted and (other.name != name or key.state == KeyState.REVOKED):
                what = "is revoked" if other.name == name else f"belongs to {other.name}"
                raise LocalError(
                    f"key {key.key_id.hex()} of {name} {what}",
                    hint="the member has to make new keys: `wardround keys new`",
                )


def _refuse_unknown_auditors(plan: Plan, membership: Membership) -> None:
    known = membership.openers(plan.storage.auditors)
    if unknown := [name for name in plan.storage.auditors if name not in known]:
        raise LocalError(
            f"the plan's auditors {', '.join(unknown)} have no opening key on the roster",
            hint="publish each with `wardround registrar member NAME.pub --role auditor`, then the roster; "
            "a wrong name is mended in plan.toml, and the plan signed again",
        )


def _remedy(one: TopicDifference) -> str:
    if one.setting == REPLICATION:
        return f"put each partition on {one.wanted} brokers: kafka-reassign-partitions.sh, see docs/three-brokers.md"
    if one.setting == "partitions":
        return "nothing while services run: their number decides who writes where"
    change = f"--alter --entity-type topics --entity-name {one.topic} --add-config {one.setting}={one.wanted}"
    return f"kafka-configs.sh {change}"


def _site_topics(new: NewMember) -> list[TopicSpec]:
    return _specs(topics.site_topics(new.card.name, size_cap_bytes=new.size_cap_bytes))


def _specs(wanted: Mapping[str, Mapping[str, str]]) -> list[TopicSpec]:
    return [TopicSpec(name, 1, config) for name, config in wanted.items()]
