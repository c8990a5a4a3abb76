"""A study's history as it grows, for ever, over broken links and topics that are not there yet."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable

from audit.history import StudyHistory
from audit.reading import FederationReader, feed_directory, published_plan
from audit.study_log import StudyLog
from protocol.directory import Directory
from schemas import topics
from transport.errors import TopicMissing
from transport.reading.log import EARLIEST, Entry, LogReader

MISSING_S = 5.0  # how long until topics that the broker lacks are looked for again


async def follow(federation: FederationReader, study: str, *, pace_s: float) -> AsyncGenerator[StudyHistory]:
    """The same history again whenever it has grown, read at most every `pace_s` seconds.

    Sites that join later are followed too; so are topics that the broker lacks, once it has them. Raises LocalError
    when there is no such study.
    """
    directory = await federation.directory()
    followed = StudyLog(published_plan(directory, study), directory, federation.key)
    reader = LogReader(federation.settings, federation.link, thin=True)
    try:
        await _read_what_is_there(reader, followed)
        looked_s = time.monotonic()
        while True:
            entries = await reader.batch(records_max=1000)
            joined, missing = _take(directory, followed, entries), followed.history.missing
            if joined:
                await _read_what_is_there(reader, followed)
            elif time.monotonic() - looked_s > MISSING_S:
                lacking = reader.gone().union(missing)
                if await reader.missing(lacking) not in (None, frozenset(missing)):
                    await _read_what_is_there(reader, followed)
                looked_s = time.monotonic()
            if entries or followed.history.missing != missing:
                yield followed.history
                await asyncio.sleep(pace_s)
    finally:
        await reader.close()


def _take(directory: Directory, log: StudyLog, entries: Iterable[Entry]) -> bool:
    """Feed a batch; True when sites have joined, whose topics have to be read from now on."""
    before = set(log.history.sites)
    registrar = [entry for entry in entries if entry.topic in (topics.MEMBERS, topics.PLANS)]
    for entry in registrar:
        feed_directory(directory, entry)
    if registrar:
        log.meet_sites()
    for entry in entries:
        if entry.topic not in (topics.MEMBERS, topics.PLANS):
            log.feed(entry.topic, entry.value, entry.timestamp_ms, entry.since_ms)
    return set(log.history.sites) != before


async def _read_what_is_there(reader: LogReader, log: StudyLog) -> None:
    """Follow those of the study's topics that the broker has, and note the others."""
    known, names = reader.positions(), [topics.MEMBERS, topics.PLANS, *log.topic_names()]
    missing, closed = frozenset[str](), frozenset[str]()
    while True:
        try:
            await reader.assign({topic: known.get(topic, EARLIEST) for topic in names if topic not in missing})
            break
        except TopicMissing as error:
            missing |= error.topics
            closed |= error.forbidden
    log.history.missing = tuple(name for name in names if name in missing)
    log.history.close(closed)
