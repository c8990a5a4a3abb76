"""Which coordinator leads which partitions of `wardround.lead`: one consumer group that reads nothing.

Knows:    what the group gave this member last, and when the broker last heard its heartbeat.
Never:    fences anybody: for seconds two members may both believe that they lead; the transactional id decides.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.errors import LocalError
from schemas.rights import ELECTION_GROUP
from transport import inside
from transport.clients import end, new_member, refused, started
from transport.errors import TopicMissing
from transport.settings import KafkaSettings
from transport.staying.absent import absent, forbidden
from transport.staying.link import Link
from transport.writing.assignor import KeepingAssignor

SESSION_MS = 6_000  # the least that a broker at its defaults takes
HEARTBEAT_MS = 500

_LOOK_S = 0.25
_STALL_S = 30.0  # a member that the broker did not hear for so long is replaced

OnHeld = Callable[[frozenset[int]], Awaitable[None]]


class Election:
    """One member of the group. `partitions` is how many there are, once `run` has asked."""

    def __init__(
        self,
        settings: KafkaSettings,
        link: Link,
        *,
        busy: Callable[[], frozenset[int]],
        session_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
    ) -> None:
        """`busy` tells which partitions have studies: those are what has to be shared out evenly."""
        self.partitions = 0
        self.held: frozenset[int] = frozenset()
        self._settings = settings
        self._link = link
        self._busy = busy
        self._session_ms = session_ms
        self._heartbeat_ms = heartbeat_ms
        self._assigned: frozenset[int] | None = None  # by the newest generation; None until there is news
        self._generation = -1
        self._heard_s = time.monotonic()
        self._news = asyncio.Event()
        self._beat = asyncio.Event()  # a fresh one after each sign of the broker

    async def run(self, on_held: OnHeld) -> None:
        """Take part until cancelled; `on_held` hears of every change of what is held, and nothing else waits for it.

        Leaves the group at the end, so that a successor need not wait for the session to expire. Raises LocalError when
        the broker refuses this member, the topic is missing, or its number of partitions has changed.
        """
        while True:
            consumer = await started(self._new_member, self._link)
            try:
                await self._join(consumer)
                await self._take_part(consumer, on_held)
            except (KafkaError, OSError) as error:
                if (final := refused(error)) is not None:
                    raise final from error
                self._link.down(error)
            finally:
                await end(consumer)
            await self._link.backoff()

    async def confirmed(self) -> None:
        """Wait until the broker has heard this member after now: what is held by then is held for certain."""
        asked_s = time.monotonic()
        while self._heard_s < asked_s:
            await self._beat.wait()

    @property
    def silent_s(self) -> float:
        """Seconds since the broker last answered a heartbeat or gave out partitions."""
        return time.monotonic() - self._heard_s

    def _new_member(self) -> AIOKafkaConsumer:
        assignor = KeepingAssignor(lambda: (self._generation, self.held), self._busy)
        return new_member(
            self._settings,
            group=ELECTION_GROUP,
            assignor=assignor,
            session_ms=self._session_ms,
            heartbeat_ms=self._heartbeat_ms,
        )

    async def _join(self, consumer: AIOKafkaConsumer) -> None:
        await self._count_partitions(consumer)
        self._heard_s = time.monotonic()
        consumer.subscribe([topics.LEAD])
        self._listen(consumer)

    async def _count_partitions(self, consumer: AIOKafkaConsumer) -> None:
        """Without this a missing topic would simply never be assigned. The number is part of who fences whom."""
        await absent({topics.LEAD}, consumer.topics)
        cluster = await inside.connections(consumer).fetch_all_metadata()
        found = len(cluster.partitions_for_topic(topics.LEAD) or ())
        if not found:
            closed = await forbidden(inside.connections(consumer), [topics.LEAD])
            raise TopicMissing([topics.LEAD], self._settings.bootstrap, forbidden=closed)
        self._refuse_other_number(found)
        self.partitions = found

    def _refuse_other_number(self, found: int) -> None:
        if self.partitions and found > self.partitions:
            raise LocalError(
                f"{topics.LEAD} has at least {found} partitions now, it had {self.partitions}",
                hint="studies have changed partitions: end every coordinator, then start them again",
            )

    def _listen(self, consumer: AIOKafkaConsumer) -> None:
        """Hear what aiokafka keeps to itself: heartbeats that were answered, and what each generation gives out."""

        async def beat(sending: Awaitable[bool]) -> bool:
            sent_s = time.monotonic()
            success = bool(await sending)
            if success:
                self._heard(sent_s)
            return success

        def joined(generation: int) -> None:
            assigned = consumer.assignment()
            consumer.pause(*assigned)  # there is nothing to read
            self._generation, self._assigned = generation, frozenset(tp.partition for tp in assigned)
            self._heard(time.monotonic())
            self._news.set()

        inside.hear_member(consumer, beat, joined)

    def _heard(self, at_s: float) -> None:
        self._heard_s = at_s
        self._link.got_on("member")
        self._beat.set()
        self._beat = asyncio.Event()

    async def _take_part(self, consumer: AIOKafkaConsumer, on_held: OnHeld) -> None:
        while True:
            inside.check_member(consumer)
            if self._assigned is not None:
                self._refuse_other_number(max(self._assigned, default=-1) + 1)
                self.held, self._assigned = self._assigned, None
                await on_held(self.held)
            if self.silent_s > self._link.stall_s("member", _STALL_S):
                self._link.rebuilt("member", f"no answer to a heartbeat for {self.silent_s:.0f} s")
                raise KafkaError("the member stalled")
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                continue
            self._news.clear()
