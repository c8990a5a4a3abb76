"""Whether the broker answers a reader: all of its topics, some of them, or none. It tells the link."""

import time

from aiokafka import AIOKafkaConsumer

from transport import inside
from transport.reading.silence import Silence
from transport.staying.link import Link

STALL_S = 30.0  # a consumer that heard nothing for so long is replaced; doubles while that does not help
SILENT_S = 2.0  # beyond the broker's own wait


class Watching:
    """Of one reader, asked about once a second; a fresh consumer begins anew."""

    def __init__(self, link: Link, *, fetch_wait_ms: int) -> None:
        self._link, self._fetch_wait_ms = link, fetch_wait_ms
        self._silence = Silence()
        self._stamp: int | None = None
        self._heard_s = 0.0

    def begin(self) -> None:
        """There is another consumer."""
        self._stamp = None
        self.heard()
        self._silence.forget()

    def heard(self) -> None:
        """Records came: what was fetched while nobody asked is progress, too."""
        self._heard_s = time.monotonic()

    @property
    def unheard_s(self) -> float:
        """Since when nothing was heard."""
        return time.monotonic() - self._heard_s

    def silent(self, consumer: AIOKafkaConsumer) -> str:
        """Which topic is answered no more although the others are; the broker is not away then.

        Left out are paused topics, those whose records wait here to be taken, and those that the broker has not.
        """
        asked = consumer.assignment() - consumer.paused() - inside.holding(consumer)
        stamps = {tp.topic: consumer.last_poll_timestamp(tp) for tp in asked if consumer.partitions_for_topic(tp.topic)}
        topic, behind_s = self._silence.longest(stamps, time.monotonic())
        if behind_s > self._link.stall_s("topic", STALL_S):
            return f"no answer for {topic} for {behind_s:.0f} s, while others are answered"
        if topic and behind_s < SILENT_S:
            self._link.got_on("topic")
        return ""

    def stalled(self, consumer: AIOKafkaConsumer) -> bool:
        """Tell the link whether the broker answers: even an empty fetch leaves a new time stamp on its topics."""
        now_s = time.monotonic()
        active = consumer.assignment() - consumer.paused()
        stamp = max((consumer.last_poll_timestamp(tp) or 0 for tp in active), default=None)
        if stamp is None or stamp != self._stamp:
            self._stamp, self._heard_s = stamp, now_s
            if stamp:
                self._link.got_on("reader")
                self._link.up()
            return False
        silent_s = now_s - max(self._heard_s, self._link.throttled_until_s("fetch"))
        if silent_s > self._link.stall_s("reader", STALL_S):
            return True
        if silent_s > SILENT_S + self._fetch_wait_ms / 1000:
            self._link.down("no answer to a fetch")
        return False
