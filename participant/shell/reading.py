"""What this site reads with its one reader: the registrar's topics, and those of every study that has all of its own.

Knows:    where reading stands in each topic; whose topics the broker has not, and that they may come (back); which were
          read to the end.
Never:    lets the topics of one study end the service, or keep another study from being read.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from schemas import topics
from transport.errors import NO_TOPIC_HINT, RIGHTS_HINT, TopicMissing
from transport.reading.log import EARLIEST, Entry, LogReader

AGAIN_S = 10.0  # how long until topics that are missing are looked for again
RECORDS_A_TURN = 64  # fed at once: about 10 ms where each has a signature to be checked
REGISTRAR = ""  # the name under which the registrar's topics stand beside those of the studies

log = structlog.get_logger()


class Reading:
    """Hands every entry to `feed`, those of the registrar first: keys before what was signed with them."""

    def __init__(self, reader: LogReader, feed: Callable[[Entry], None]) -> None:
        self._reader, self._feed = reader, feed
        self._topics: dict[str, tuple[str, ...]] = {REGISTRAR: (topics.MEMBERS, topics.PLANS)}
        self._unread: dict[str, str] = {}  # whose topics are missing -> which
        self._said: dict[str, str] = {}
        self._whole: frozenset[str] = frozenset()  # topics that were read to the end that they had
        self._lost: dict[str, int] = {}
        self._looked_s = 0.0

    async def begin(self) -> None:
        """Read to its end what the registrar said. Raises TopicMissing: without his topics there is no federation."""
        await self._reader.assign(dict.fromkeys(self._topics[REGISTRAR], EARLIEST))
        await self._catch_up()

    async def add(self, studies: Mapping[str, Iterable[str]]) -> None:
        """Read the topics of these studies, too, and all that is on them now; a study that lacks one waits for it."""
        self._topics |= {study: tuple(sorted(names)) for study, names in studies.items()}
        await self._assign()

    def why_unread(self, study: str) -> str:
        """Which topic keeps a study from being read to its end; empty when none does."""
        partly = sorted(set(self._topics.get(study, ())) - self._whole)
        return self._unread.get(study) or (f"{', '.join(partly)} not read to the end yet" if partly else "")

    async def follow(self, *, wait_ms: int) -> None:
        """Feed what comes within `wait_ms`; notice topics that went, and those that came."""
        try:
            entries = await self._reader.batch(wait_ms=wait_ms)
        except TopicMissing as error:  # the right to read it was taken away
            self._leave_out(error.topics, error.forbidden)
            await self._assign()
            return
        await self._feed_all(entries)
        gone = self._reader.gone()
        if self._lost != self._reader.lost or (not gone and self._partly):
            await self._catch_up()  # a topic ended before what was read of it: it is read from its beginning again
        if gone and (missing := await self._reader.missing(gone)):
            self._leave_out(missing, await self._reader.forbidden(missing))
            await self._assign()
        if self._unread and time.monotonic() - self._looked_s >= AGAIN_S:
            await self._look()

    async def _look(self) -> None:
        """Take up again those who have all their topics now, each from its beginning: it may be another one."""
        self._looked_s = time.monotonic()
        wanted = {topic for name in self._unread for topic in self._topics[name]}
        missing = await self._reader.missing(wanted)
        if missing is None:
            return
        back = [name for name in self._unread if missing.isdisjoint(self._topics[name])]
        for name in back:
            del self._unread[name]
        if back:
            await self._assign()
        for name in (name for name in back if name not in self._unread):
            self._said.pop(name, None)
            log.info("missing topics are there, going on", study=name or None)

    async def _assign(self) -> None:
        read = self._reader.positions()
        while True:
            wanted = [topic for name, own in self._topics.items() if name not in self._unread for topic in own]
            try:
                await self._reader.assign({topic: read.get(topic, EARLIEST) for topic in wanted})
                await self._catch_up()
                return
            except TopicMissing as error:
                read |= self._reader.positions()
                self._leave_out(error.topics, error.forbidden)

    def _leave_out(self, missing: frozenset[str], forbidden: frozenset[str]) -> None:
        """Whose topics these are waits for them; each reason is said once."""
        self._looked_s = time.monotonic()
        for name, own in self._topics.items():
            if name in self._unread or not (lacking := sorted(missing.intersection(own))):
                continue
            closed = [topic for topic in lacking if topic in forbidden]
            there = f"not allowed to read {', '.join(closed)} on the broker" if closed else ""
            absent = ", ".join(topic for topic in lacking if topic not in forbidden)
            self._unread[name] = "; ".join(filter(None, (f"no topic {absent} on the broker" if absent else "", there)))
            if self._said.get(name) == self._unread[name]:
                continue
            self._said[name] = self._unread[name]
            what = "topics are missing, waiting for them" if absent else "topics are not allowed, waiting for the right"
            hint = NO_TOPIC_HINT if absent else RIGHTS_HINT
            log.error(what, study=name or None, topics=lacking, hint=hint)

    @property
    def _partly(self) -> bool:
        """Whether a topic that seemed to be missing, and is not, was left half read."""
        return not self._whole.issuperset(self._reader.positions())

    async def _feed_all(self, entries: Sequence[Entry]) -> None:
        """Whoever floods a topic does not keep this process from its other work."""
        for number, entry in enumerate(entries, start=1):
            self._feed(entry)
            if number % RECORDS_A_TURN == 0:
                await asyncio.sleep(0)

    async def _catch_up(self) -> None:
        """Feed everything that is on the assigned topics now."""
        self._whole = frozenset()
        ends = await self._reader.ends()
        while not await self._reader.reached(ends):
            await self._feed_all(await self._reader.batch(records_max=10_000, wait_ms=50))
            ends = {topic: end for topic, end in ends.items() if topic not in self._reader.gone()}
        self._whole, self._lost = frozenset(ends), dict(self._reader.lost)
