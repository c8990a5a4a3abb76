"""Watches a producer: what it took and the broker never acknowledged, while the broker answers everybody else.

Knows:    the batch at the head of each partition and since when it is there; a new head is progress.
Never:    counts time in which the broker is away, or asks to wait: aiokafka sends again by itself, and a fresh producer
          would not help.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaProducer

from transport import inside
from transport.staying.link import Link

LOOK_S = 1.0
STALL_S = 30.0


class Heads:
    """Since when each partition's oldest unacknowledged batch has been the oldest; time is passed in."""

    def __init__(self) -> None:
        self._since: dict[object, tuple[object, float]] = {}

    def oldest_s(self, heads: dict[object, object], now_s: float) -> float:
        """Seconds for which the most stubborn head has not moved, with `heads` by partition as they are now."""
        known = self._since
        self._since = {
            where: known[where] if where in known and known[where][0] is head else (head, now_s)
            for where, head in heads.items()
        }
        return max((now_s - since for _, since in self._since.values()), default=0.0)

    def forget(self) -> None:
        """Begin to count anew."""
        self._since.clear()


async def watch_producer(
    producer: AIOKafkaProducer, link: Link, stall_s: Callable[[], float], give_up: Callable[[], Awaitable[None]]
) -> None:
    """Look once a second; after `stall_s()` without progress call `give_up`, and return."""
    heads, waiting = Heads(), False
    while True:
        await asyncio.sleep(LOOK_S)
        if not link.connected or link.throttled_until_s("produce") > time.monotonic():
            heads.forget()
            continue
        now = inside.oldest_batches(producer)
        waited_s = heads.oldest_s(now, time.monotonic())
        if waiting and waited_s < LOOK_S:
            link.got_on("producer")
        waiting = bool(now)
        if waited_s > stall_s():
            link.rebuilt("producer", f"nothing acknowledged for {waited_s:.0f} s")
            await give_up()
            return
