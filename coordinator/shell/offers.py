"""Reads every site's offers topic of one study, from the positions that the receipts hold; and the commands.

Knows:    one connection serves them all, so that a study costs the broker one reader.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from coordinator.core.events import Evaluated
from coordinator.shell.intake import VerifiedOffer, read_offer_topic
from coordinator.shell.services import Services
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Presence
from transport.log import EARLIEST, Entry, LogReader


@dataclass(frozen=True, slots=True)
class CommandSeen:
    """A record of the study's `commands`, not judged yet."""

    entry: Entry


Seen = VerifiedOffer | Evaluated | CommandSeen
BATCH_MAX = 256

log = structlog.get_logger()


class OffersReader:
    """One reader over all sites of a study; a site that joins is read from its first record on."""

    def __init__(self, services: Services, plan: Plan, hear: Callable[[Seen], Awaitable[None]]) -> None:
        self._services = services
        self._plan = plan
        self._hear = hear
        self._reader = LogReader(services.kafka, services.link, committed=False)
        self._next_offset: Callable[[str], int] = lambda _site: 0
        self._next_command = 0
        self._stale = True

    async def run(self, next_offset: Callable[[str], int], next_command: int) -> None:
        """Read until cancelled; `next_offset(site)` tells where a site's unread offers begin."""
        self._next_offset, self._next_command = next_offset, next_command
        while True:
            if self._stale:
                self._stale = False
                await self._assign()
            for entry in await self._reader.batch(records_max=BATCH_MAX):
                await self._take(entry)

    async def sites_changed(self) -> None:
        """The roster changed: look again at whom to read, before the next batch."""
        self._stale = True

    def hold(self, site: str) -> None:
        self._reader.pause(topics.offers(site))

    def release(self, site: str) -> None:
        self._reader.resume(topics.offers(site))

    async def close(self) -> None:
        await self._reader.close()

    async def _assign(self) -> None:
        read = self._reader.positions()
        wanted = {topics.offers(site): site for site in self._services.membership.sites(self._plan.study)}
        existing = await self._services.admin.existing(wanted)
        for topic in sorted(wanted.keys() - existing):
            log.error("site without topics, run `wardround registrar member` for it", topic=topic)
        positions = {
            topic: read.get(topic) or self._next_offset(site) or EARLIEST
            for topic, site in wanted.items()
            if topic in existing
        }
        commands = topics.commands(self._plan.study)
        positions[commands] = read.get(commands, self._next_command)
        await self._reader.assign(positions)

    async def _take(self, entry: Entry) -> None:
        services, study = self._services, self._plan.study
        if entry.topic == topics.commands(study):
            await self._hear(CommandSeen(entry))
            return
        site = entry.topic.removeprefix(topics.offers(""))
        try:
            seen = read_offer_topic(entry, site, self._plan, services.membership)
        except PeerError as error:
            services.metrics.records_refused.labels(study, error.code).inc()
            log.warning(
                "record refused", study=study, site=site, offset=entry.offset, code=error.code, reason=str(error)
            )
            return
        services.metrics.site_seen.labels(study, site).set(entry.timestamp_ms / 1000)
        if seen is not None and not isinstance(seen, Presence):
            await self._hear(seen)
