"""Keeps a study's bookmark on the log, so that a successor need not read what this coordinator has read.

Knows:    when one is due: a thousand records were read since the last, which is what a successor may have to read.
Never:    is needed: where there is none, offers are read from where the receipts say. It needs no fence either, since
          what it says stays true whoever leads.
"""

import asyncio
from collections.abc import Container, Mapping
from dataclasses import dataclass

import structlog

from coordinator.core.bookmark import Marked, bookmark_of
from coordinator.core.study import StudyCore
from coordinator.shell.services import Services, now_ms
from protocol.digests import bookmark_subject
from protocol.sealing import open_content, seal_content
from protocol.written import ForeignError, read_bookmark
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import MEMBERS_MAX, Bookmark, Memory
from transport.errors import TopicMissing
from transport.reading.log import LATEST, Entry

RECORDS_MAX = 1024  # of all sites; more than that are worth a bookmark
INTERVAL_S = 30.0
LOOK_BACK_MAX = 4096  # records, behind which a bookmark is not looked for

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Heard:
    """What lies before these offsets of the sites' topics stands before this in the queue."""

    positions: Mapping[str, int]


class Bookmarks:
    """The newest bookmark of one study, as far as this process knows."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services, self._plan = services, plan
        self._positions: dict[str, int] = {}
        self._records = RECORDS_MAX  # read since the last one; the first is due at once
        self._written_s = now_ms() / 1000
        self._complained = False

    async def read(self, version: int) -> Marked | None:
        """The one on the log, for a study whose newest version is `version`; None when there is none to be used."""
        found = await self._newest(version) if await self._exists() else None
        if found is not None:
            self._positions, self._records = dict(found.positions), 0
        return found

    def start(self, site: str) -> int:
        """The offset before which nothing of the site is of any use."""
        return self._positions.get(site, 0)

    def due(self, records: int) -> bool:
        """Note that so many more were read. Returns whether it is time for a bookmark; then one has to follow."""
        self._records += records
        if self._records < RECORDS_MAX or now_ms() / 1000 - self._written_s < INTERVAL_S:
            return False
        self._records, self._written_s = 0, now_ms() / 1000
        return True

    def forget(self, site: str) -> None:
        """The site's topic begins again at 0."""
        self._positions.pop(site, None)

    async def begin(self, ends: Mapping[str, int]) -> None:
        """The first one, before version 0 is announced; `ends` of the topics, read before the log was seen empty.

        Nobody can have offered anything by then; a federation's older studies may have left millions of records.
        """
        positions = tuple(sorted(ends.items())[:MEMBERS_MAX])
        await self._put(Marked(self._plan.study, self._plan.digest, 0, positions))

    async def write(self, heard: Heard, core: StudyCore, unsettled: Container[str]) -> None:
        """Put down what holds now, after everything that stood before `heard` in the queue."""
        if not await self._services.transactions.seen(
            (topics.rounds(self._plan.study), topics.receipts(self._plan.study))
        ):
            self._records = RECORDS_MAX  # a broker hides what this would rest on, and it may yet be taken back
            return
        bookmark = bookmark_of(core, self._positions, heard.positions, unsettled)
        self._positions = dict(bookmark.positions)
        await self._put(bookmark)

    async def _put(self, marked: Marked) -> None:
        topic = topics.bookmark(self._plan.study)
        own = self._services.membership.opening_key(self._services.name)  # a successor may not hold a newer one yet
        subject = bookmark_subject(marked.study, marked.version)
        memory = seal_content({self._services.name: own.public}, subject, marked.memory.to_bytes())
        bookmark = Bookmark(marked.study, marked.plan, marked.version, marked.positions, memory)
        value = self._services.signer.sign(bookmark).to_bytes()
        try:
            if await self._exists():  # a writer would wait for seconds, and the study with it
                await self._services.writer.send(topic, value, self._plan.study.encode())
        except TopicMissing:
            await self._exists()

    async def _exists(self) -> bool:
        topic = topics.bookmark(self._plan.study)
        exists = bool(await self._services.admin.existing([topic]))
        if not exists and not self._complained:
            log.warning(
                "topic missing: a successor reads all offers since the last receipts, which may take it minutes",
                topic=topic,
                hint="let the registrar make it: `wardround study create` with the plan",
            )
        self._complained = not exists
        return exists

    async def _newest(self, version: int) -> Marked | None:
        """The last that a coordinator wrote, also where others wrote behind it: looked for among ever more records."""
        topic, services = topics.bookmark(self._plan.study), self._services
        read, before = 1, -1
        while True:
            entries = await _last(services, topic, read)
            for entry in reversed(entries):
                if 0 <= before <= entry.offset:
                    continue
                try:
                    return self._verified(entry.value, version)
                except ForeignError as error:
                    services.strangers.passed_over(self._plan.study, entry, error)
                except PeerError as error:
                    log.warning("bookmark not usable", topic=topic, offset=entry.offset, reason=str(error))
                    return None
            if read >= LOOK_BACK_MAX or not entries or entries[0].offset == before:
                return None
            before, read = entries[0].offset, 16 * read

    def _verified(self, value: bytes | None, version: int) -> Marked:
        found = read_bookmark(value, self._services.membership, self._plan.study)
        if found.plan != self._plan.digest:
            raise PeerError(f"it belongs to study {found.study} under another plan")
        if found.version > version:
            raise PeerError(f"it names version {found.version}, the log ends with {version}")
        memory = open_content(self._services.opening, found.memory, bookmark_subject(found.study, found.version))
        return Marked(found.study, found.plan, found.version, found.positions, Memory.from_bytes(memory))


async def _last(services: Services, topic: str, count: int) -> list[Entry]:
    """The last records of a topic, at most `count`, however many lie before; nobody writes there in transactions."""
    reader = services.connection.reader(committed=False, fetch_wait_ms=10)
    try:
        await reader.assign({topic: LATEST})
        end = reader.positions()[topic]
        if not end:
            return []
        await reader.assign({topic: max(end - count, 0)})
        entries: list[Entry] = []
        while not await reader.reached({topic: end}):
            entries += await reader.batch(wait_ms=50)
            await asyncio.sleep(0)
        return entries
    finally:
        await reader.close()
