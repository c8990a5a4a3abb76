"""Reads every site's offers topic of one study, from where receipts and bookmark say; and the commands.

Knows:    one connection serves them all, so that a study costs the broker one reader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass

import structlog

from coordinator.core.events import Evaluated, OffersAnew
from coordinator.shell.bookmarks import Bookmarks, Heard
from coordinator.shell.intake import VerifiedOffer, read_offer_topic, worth_reading
from coordinator.shell.services import Services, now_ms
from coordinator.shell.throttle import Throttle, site_of
from runtime.lines import LineBudget
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Evaluation, Offer, Presence, kind_within
from transport.reading.log import EARLIEST, Entry


@dataclass(frozen=True, slots=True)
class CommandSeen:
    """A record of the study's `commands`, not judged yet."""

    entry: Entry


Seen = VerifiedOffer | Evaluated | CommandSeen | OffersAnew | Heard
BATCH_MAX = 256
LOOK_S = 10.0
WAIT_MS = 500
_WAITED_FOR = (Offer.KIND, Evaluation.KIND)  # read once more under the next roster, which may know the key

log = structlog.get_logger()


class OffersReader:
    """One reader over all sites of a study; a site that joins is read from its first record on."""

    def __init__(
        self, services: Services, plan: Plan, bookmarks: Bookmarks, hear: Callable[[Seen], Awaitable[None]]
    ) -> None:
        self._services = services
        self._plan = plan
        self._bookmarks = bookmarks
        self._hear = hear
        self._reader = services.connection.reader(committed=False)
        self._next_offset: Callable[[str], int] = lambda _site: 0
        self._next_command = 0
        self._stale = True
        self._looked_s = 0.0
        self._missing: frozenset[str] = frozenset()  # sites without topics, as far as that was said
        self._lost: dict[str, int] = {}
        self._unbelieved: dict[str, int] = {}  # site -> its first offer or evaluation under a key that the roster lacks
        self._throttle = Throttle(self._reader, services.metrics, plan.study)
        self._lines = LineBudget()

    async def run(self, next_offset: Callable[[str], int], next_command: int) -> None:
        """Read until cancelled; `next_offset(site)` tells where a site's unread offers begin, by its receipts."""
        self._next_offset, self._next_command = next_offset, next_command
        while True:
            if self._stale or now_ms() / 1000 - self._looked_s > LOOK_S:
                await self._look()
            entries = await self._reader.batch(records_max=BATCH_MAX, wait_ms=self._throttle.soonest_ms(WAIT_MS))
            await self._mind_lost()
            kept = worth_reading(entries)
            self._throttle.read(entries, kept)
            for entry in kept:
                await self._take(entry)
                await asyncio.sleep(0)  # two signatures each: a batch at once would hold up the heartbeats
            if self._bookmarks.due(len(entries)):
                await self._hear(Heard(self._heard()))

    async def ends(self) -> dict[str, int]:
        """Site -> where its topic ends now; those that have one."""
        wanted = {topics.offers(site): site for site in self._services.membership.sites(self._plan.study)}
        existing = await self._services.admin.existing(wanted)
        return {wanted[topic]: end for topic, end in (await self._reader.ends(existing)).items()} if existing else {}

    async def sites_changed(self) -> None:
        """The roster changed: look again at whom to read, before the next batch."""
        self._stale = True

    def hold(self, site: str) -> None:
        self._throttle.hold(topics.offers(site))

    def release(self, site: str) -> None:
        self._throttle.release(topics.offers(site))

    async def close(self) -> None:
        await self._reader.close()

    def _heard(self) -> dict[str, int]:
        """Up to where each site was heard; what is under a key that no roster knows yet is not heard."""
        commands = topics.commands(self._plan.study)
        heard: dict[str, int] = {}
        for topic, offset in self._reader.positions().items():
            site = site_of(topic)
            if topic != commands and offset >= 0:
                heard[site] = min(offset, self._unbelieved.get(site, offset))
        return heard

    def _first(self, site: str) -> int:
        """Where the site's unread offers begin."""
        return max(self._next_offset(site), self._bookmarks.start(site))

    async def _look(self) -> None:
        """Whom to read: those on the roster whose topics exist. Kafka itself says nothing of a topic that goes."""
        wanted = {topics.offers(site): site for site in self._services.membership.sites(self._plan.study)}
        existing = await self._services.admin.existing(wanted)
        self._looked_s = now_ms() / 1000
        self._tell_missing(frozenset(site for topic, site in wanted.items() if topic not in existing))
        if self._stale or existing != self._reader.positions().keys() - {topics.commands(self._plan.study)}:
            self._stale = False
            await self._assign(wanted, existing)

    def _tell_missing(self, missing: frozenset[str]) -> None:
        """Which sites have no topic to be read; a line for each when that changes."""
        study, before, self._missing = self._plan.study, self._missing, missing
        self._services.metrics.topics_missing.labels(study).set(len(missing))
        for site in sorted(missing - before):
            log.error("site without topics, run `wardround registrar approve` for it", site=site, study=study)
        for site in sorted((before - missing).intersection(self._services.membership.sites(study))):
            log.info("a site's topics are there", site=site, study=study)

    async def _assign(self, wanted: Mapping[str, str], existing: Set[str]) -> None:
        read = self._reader.positions()
        for site, offset in self._unbelieved.items():  # a newer roster may know their keys; the core knows its own
            if topics.offers(site) in read:
                read[topics.offers(site)] = offset
        self._unbelieved.clear()
        positions = {
            topic: read.get(topic) or self._first(site) or EARLIEST
            for topic, site in wanted.items()
            if topic in existing
        }
        commands = topics.commands(self._plan.study)
        positions[commands] = read.get(commands, self._next_command)
        await self._reader.assign(positions)
        ends = await self._reader.ends()
        anew = [topic for topic, end in ends.items() if topic in wanted and end < positions[topic]]
        if anew:
            await self._reader.assign({**positions, **dict.fromkeys(anew, EARLIEST)})
            for topic in anew:
                await self._made_anew(wanted[topic])

    async def _made_anew(self, site: str) -> None:
        log.error("a site's topic was made anew; it is read from its beginning", site=site, study=self._plan.study)
        self._unbelieved.pop(site, None)
        self._bookmarks.forget(site)
        await self._hear(OffersAnew(site))
        await self._hear(Heard({site: 0}))  # before anything is read there: a position of the old topic would pass it

    async def _mind_lost(self) -> None:
        """Say what was gone before it was read, by retention, or because a topic begins again."""
        for topic, count in self._reader.lost.items():
            fresh = count - self._lost.get(topic, 0)
            if not fresh or topic == topics.commands(self._plan.study):
                continue
            self._lost[topic] = count
            site = site_of(topic)
            self._services.metrics.offers_lost.labels(self._plan.study, site).inc(fresh)
            log.error("a site's records are gone unread", site=site, study=self._plan.study, count=fresh)
            if self._reader.positions()[topic] <= self._first(site):
                await self._made_anew(site)

    async def _take(self, entry: Entry) -> None:
        services, study = self._services, self._plan.study
        if entry.refused:  # the reader has said so
            site = "" if entry.topic == topics.commands(study) else site_of(entry.topic)
            services.metrics.records_refused.labels(study, site, entry.refused).inc()
            return
        if entry.topic == topics.commands(study):
            await self._hear(CommandSeen(entry))
            return
        site = site_of(entry.topic)
        try:
            seen = read_offer_topic(entry, site, self._plan, services.membership, services.opening)
        except PeerError as error:
            if error.code == "stranger" and kind_within(entry.value or b"") in _WAITED_FOR:
                self._unbelieved.setdefault(site, entry.offset)
            self._refused(entry, site, error)
            return
        services.metrics.site_seen.labels(study, site).set(entry.timestamp_ms / 1000)
        if seen is not None and not isinstance(seen, Presence):
            await self._hear(seen)

    def _refused(self, entry: Entry, site: str, error: PeerError) -> None:
        """Count what nobody can believe, and say it while its site has lines left."""
        study = self._plan.study
        self._services.metrics.records_refused.labels(study, site, error.code).inc()
        unsaid = self._lines.ask(site, now_ms() / 1000)
        if unsaid is None:
            return
        log.warning(
            "record refused",
            study=study,
            site=site,
            offset=entry.offset,
            code=error.code,
            reason=str(error),
            unsaid=unsaid,
        )
