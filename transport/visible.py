"""Whether committed readers get what was committed: a broker that dies between commit and markers may forget them.

Knows:    such records stay hidden, and everything behind them, until the next transaction on the topic ends; where
          every site waits for the hidden version none would ever begin.
Used by:  transport.transactions, coordinator.shell.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from transport.errors import LogUndecided
from transport.link import Link
from transport.log import LATEST, LogReader
from transport.settings import KafkaSettings

LOOK_S = 5.0
PATIENCE_S = 10.0
_AGAIN_S = 0.25


async def ends_of(settings: KafkaSettings, link: Link, topics: Iterable[str], *, committed: bool) -> dict[str, int]:
    """Where the topics end now: all of them, or what committed readers get. Waits for the broker for ever."""
    reader = LogReader(settings, link, committed=committed, fetch_wait_ms=10)
    try:
        await reader.assign(dict.fromkeys(topics, LATEST))
        return await reader.ends()
    finally:
        await reader.close()


async def require_visible(
    settings: KafkaSettings, link: Link, topics: Iterable[str], *, patience_s: float = PATIENCE_S
) -> None:
    """Wait until nothing is hidden on the topics. To be called behind the fence: nobody else has a transaction open.

    Raises LogUndecided when something still is after `patience_s`: who decides without it would contradict it.
    """
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


class VisibleWatch:
    """Looks now and then at what one writer has committed; `release` is told of topics on which it stays hidden."""

    def __init__(self, settings: KafkaSettings, link: Link, release: Callable[[list[str]], Awaitable[None]]) -> None:
        self._settings, self._link, self._release = settings, link, release
        self._unseen: dict[str, int] = {}  # topic -> one after the newest committed record, not seen to be visible

    def committed(self, topic: str, end: int) -> None:
        """A record before `end` was committed for certain."""
        self._unseen[topic] = max(end, self._unseen.get(topic, 0))

    async def run(self, look_s: float = LOOK_S) -> None:
        """For ever; costs nothing while nothing is written. What is hidden at two looks in a row is released."""
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(look_s)
            before = await self._look(before) if self._unseen else {}

    async def _look(self, before: dict[str, int]) -> dict[str, int]:
        wanted = dict(self._unseen)
        visible = await ends_of(self._settings, self._link, wanted, committed=True)
        hidden = {topic: end for topic, end in wanted.items() if visible[topic] < end}
        for topic in wanted.keys() - hidden.keys():
            if self._unseen[topic] == wanted[topic]:
                del self._unseen[topic]
        stuck = sorted(topic for topic in hidden if topic in before and visible[topic] < before[topic])
        if stuck:
            await self._release(stuck)
        return hidden
