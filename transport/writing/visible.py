"""Whether committed readers get what was committed: a broker that dies between commit and markers may forget them.

Knows:    Kafka's transaction coordinator skips the markers of topics that its restarting broker does not know yet
          ("these partitions are likely deleted already"); their records stay hidden, and everything behind them, until
          the next transaction on the topic ends. Where every site waits for the hidden version none would ever begin.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import structlog

from schemas.errors import LocalError
from transport.errors import LogUndecided, TopicMissing
from transport.reading.log import LATEST, Entry, LogReader, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.labels import label_of

LOOK_S = 5.0
PATIENCE_S = 3.0
_AGAIN_S = 0.25
_log = structlog.get_logger("transport")
_MARKERS = 2  # control records that may stand behind the records of a transaction


async def ends_of(settings: KafkaSettings, link: Link, topics: Iterable[str], *, committed: bool) -> dict[str, int]:
    """Where the topics end now: all of them, or what committed readers get. Waits for the broker for ever."""
    reader = LogReader(settings, link, committed=committed, fetch_wait_ms=10)
    try:
        await reader.assign(dict.fromkeys(topics, LATEST))
        return await reader.ends()
    finally:
        await reader.close()


async def require_visible(
    settings: KafkaSettings, link: Link, topics: Iterable[str], *, patience_s: float | None = None
) -> None:
    """Wait until nothing is hidden on the topics. To be called behind the fence: nobody else has a transaction open.

    Raises LogUndecided when something still is after `patience_s`: who decides without it would contradict it.
    """
    patience_s = PATIENCE_S if patience_s is None else patience_s
    names, until_s = sorted(topics), time.monotonic() + patience_s
    while True:
        everything = await ends_of(settings, link, names, committed=False)
        visible = await ends_of(settings, link, names, committed=True)
        hidden = [name for name in names if visible[name] < everything[name]]
        if not hidden:
            return
        if time.monotonic() >= until_s:
            raise LogUndecided(hidden)
        await asyncio.sleep(_AGAIN_S)


async def read_around(settings: KafkaSettings, link: Link, topics: Iterable[str]) -> tuple[list[Entry], list[Entry]]:
    """What nobody reads on the topics, and what committed readers get right before it: some of it may belong to it.

    However much others wrote in between: it is read back until enough is there that could be of one transaction.
    """
    visible = await ends_of(settings, link, topics, committed=True)
    hidden = await read_to_end(settings, link, list(visible), committed=False, start=visible)
    reach = max((label.count for entry in hidden if (label := label_of(entry)) is not None), default=0) + _MARKERS
    back = dict.fromkeys(visible, reach)
    while True:
        start = {topic: max(end - back[topic], 0) for topic, end in visible.items()}
        before = await read_to_end(settings, link, list(visible), start=start)
        foreign = Counter(entry.topic for entry in before if label_of(entry) is None)
        short = [topic for topic in visible if start[topic] and back[topic] - foreign[topic] < reach]
        if not short:
            return hidden, before
        back.update({topic: 4 * back[topic] for topic in short})


class VisibleWatch:
    """Looks at what one writer has committed; `release` is told of topics on which it stays hidden."""

    def __init__(self, settings: KafkaSettings, link: Link, release: Callable[[list[str]], Awaitable[None]]) -> None:
        self._release = release
        self._unseen: dict[str, tuple[int, int]] = {}  # topic -> committed records not seen to be visible: [first, end)
        self._reader = LogReader(settings, link, fetch_wait_ms=10)
        self._asking = asyncio.Lock()

    def committed(self, topic: str, offset: int) -> None:
        """The record at `offset` was committed for certain."""
        first, end = self._unseen.get(topic, (offset, offset))
        self._unseen[topic] = (min(first, offset), max(end, offset + 1))

    def forget(self, topic: str) -> None:
        """Nobody asks about this topic any more."""
        self._unseen.pop(topic, None)

    async def run(self, look_s: float = LOOK_S) -> None:
        """For ever; costs nothing while nothing is written. What is hidden at two looks in a row is released."""
        before: dict[str, int] = {}  # topic -> what was committed there at the last look
        while True:
            await asyncio.sleep(look_s)
            try:
                hidden = await self.hidden()
                stuck = sorted(topic for topic in hidden if topic in before and hidden[topic] < before[topic])
                if stuck:
                    await self._release(stuck)
            except LocalError as error:  # for those to hear of who write there
                _log.warning("cannot see whether readers get what was committed, trying again", reason=str(error))
            before = {topic: end for topic, (_, end) in self._unseen.items()}

    async def hidden(self) -> dict[str, int]:
        """The topics on which something committed here cannot be read yet, with the offset where it begins.

        Left out is what a transaction holds up that was open before: another's, which nobody here can end.
        """
        wanted = dict(self._unseen)
        while wanted:
            try:
                async with self._asking:
                    visible = await self._reader.ends(wanted)
                break
            except TopicMissing as error:
                for topic in error.topics:
                    self.forget(topic)
                wanted = {topic: span for topic, span in wanted.items() if topic not in error.topics}
        for topic, span in wanted.items():
            if visible[topic] >= span[1] and self._unseen.get(topic) == span:
                del self._unseen[topic]
        return {topic: visible[topic] for topic, (first, end) in wanted.items() if first <= visible[topic] < end}

    async def seen(self, topics: Iterable[str]) -> bool:
        """Whether readers get everything that was committed here on these topics: it cannot be taken back any more."""
        await self.hidden()
        return self._unseen.keys().isdisjoint(topics)

    async def close(self) -> None:
        """End its connection; bounded."""
        await self._reader.close()
