"""The federation's topics on the broker: what is missing is made, what differs is told once with what to do.

Never:    changes a topic that exists, but for limits that offers topics were made without before there were any.
"""

from collections.abc import Awaitable, Container, Iterable, Mapping
from typing import TypeVar

import structlog

from schemas import topics
from schemas.errors import LocalError
from transport.admin import COMMAND_S, Admin, TopicDifference, TopicSpec, within
from transport.staying.link import Link
from transport.writing.replication import REPLICATION

_OFFERS_CAP = frozenset({"retention.bytes", "segment.bytes"})  # of offers topics made before there was a cap
T = TypeVar("T")
log = structlog.get_logger()


class TopicMaker:
    """Each step raises TransientError after 10 s."""

    def __init__(self, admin: Admin, link: Link, *, lead_partitions: int | None, replication: int | None) -> None:
        """See Registrar."""
        self._admin, self._link = admin, link
        self._lead_partitions, self._replication = lead_partitions, replication
        self._told: set[TopicDifference] = set()

    async def of_federation(self) -> None:
        """Those that there are once; and a word about each topic that lies on too few brokers."""
        wanted = topics.federation_topics()
        await self._make(_specs({name: config for name, config in wanted.items() if name != topics.LEAD}))
        await self._make_lead()
        thin = self._admin.thin_topics(topics.PREFIX, replication=self._replication)
        self._tell(await self._bounded(thin))

    async def of_sites(self, size_caps_bytes: Mapping[str, int]) -> None:
        """By site: how large its bodies topic may become."""
        found = [topics.site_topics(site, size_cap_bytes=cap) for site, cap in size_caps_bytes.items()]
        await self._make([spec for wanted in found for spec in _specs(wanted)], mend=_OFFERS_CAP)

    async def of_members(self, names: Iterable[str]) -> None:
        """Those of every member, whatever its roles."""
        await self._make([spec for name in names for spec in _specs(topics.member_topics(name))])

    async def of_study(self, study: str) -> None:
        """Topics that were deleted are made again, empty."""
        await self._make(_specs(topics.study_topics(study)))

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

    async def _make(self, specs: Iterable[TopicSpec], *, mend: Container[str] = ()) -> None:
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

    def _bounded(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        return within(awaitable, COMMAND_S, self._link)


def _remedy(one: TopicDifference) -> str:
    if one.setting == REPLICATION:
        how = "kafka-reassign-partitions.sh, see docs/operations/three-brokers.md"
        return f"put each partition on {one.wanted} brokers: {how}"
    if one.setting == "partitions":
        return "nothing while services run: their number decides who writes where"
    change = f"--alter --entity-type topics --entity-name {one.topic} --add-config {one.setting}={one.wanted}"
    return f"kafka-configs.sh {change}"


def _specs(wanted: Mapping[str, Mapping[str, str]]) -> list[TopicSpec]:
    return [TopicSpec(name, 1, config) for name, config in wanted.items()]
