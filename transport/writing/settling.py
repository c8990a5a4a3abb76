"""Ends what a transaction has left hidden on its topics, as its own records say it has to end.

Knows:    behind the fence and under the writer's lock, whatever is hidden has lost its markers.
Never:    guesses: a topic whose records do not say it is set aside, for those to hear of who write there.
"""

import asyncio
from collections.abc import Iterable, Set

import structlog
from aiokafka import AIOKafkaProducer

from transport import inside
from transport.clients import STOP_S, of_no_interest
from transport.errors import CommitUnknown, LogUndecided, TopicMissing, TransactionAborted
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.labels import all_there
from transport.writing.producer import BROKEN, COMMIT_S, LiveProducer
from transport.writing.visible import read_around, require_visible

_log = structlog.get_logger("transport")


class Settling:
    """Of one transactional id.

    topics   those that were written to
    aside    those that nobody can settle, and why: one study's trouble
    """

    def __init__(self, settings: KafkaSettings, link: Link, transactional_id: str, live: LiveProducer) -> None:
        self._settings, self._link, self._id, self._live = settings, link, transactional_id, live
        self.topics: set[str] = set()
        self.aside: dict[str, LogUndecided | TopicMissing] = {}

    async def settle_most(self, producer: AIOKafkaProducer, topics: Set[str]) -> Set[str]:
        """Settle all topics that can be; the others are set aside, for those to hear of who write there."""
        while True:
            names = topics - self.aside.keys()
            try:
                await self.settle(producer, names)
                return names
            except (LogUndecided, TopicMissing) as error:
                self.aside.update(dict.fromkeys(error.topics, error))
                self.topics.difference_update(error.topics)

    async def settle(self, producer: AIOKafkaProducer, topics: Iterable[str]) -> None:
        """Behind the fence and under the lock: whatever is hidden now has lost its markers."""
        names = sorted(topics)
        try:
            await require_visible(self._settings, self._link, names)
        except LogUndecided as error:
            complete = all_there(*await read_around(self._settings, self._link, names))
            await self.end_hidden(producer, error.topics, commit=complete)
            await require_visible(self._settings, self._link, names)

    async def end_hidden(self, producer: AIOKafkaProducer, topics: list[str], *, commit: bool) -> None:
        """A transaction without a record, under the lock: its markers end what those of an earlier one should have.

        Raises Fenced and CommitUnknown when a commit fails in the middle: whoever starts next under this id takes it
        back then, and with it what it was to end.
        """
        how = "committing" if commit else "taking back"
        _log.warning(f"hidden records, {how} once more", topics=topics, transactional_id=self._id)
        marking = asyncio.ensure_future(self._mark(producer, topics, commit=commit))
        marking.add_done_callback(of_no_interest)
        try:
            await asyncio.shield(marking)
        except asyncio.CancelledError:
            await asyncio.wait({marking}, timeout=STOP_S)  # half of it is the worst of all
            marking.cancel()
            raise
        except (*BROKEN, TimeoutError) as error:
            await self._live.drop()
            failure = self._live.failure(error, producer)
            if commit and isinstance(failure, TransactionAborted):
                raise CommitUnknown(f"hidden records of {self._id} could not be committed once more") from error
            raise failure from error

    async def _mark(self, producer: AIOKafkaProducer, topics: list[str], *, commit: bool) -> None:
        await producer.begin_transaction()
        for topic in topics:
            inside.add_to_transaction(producer, topic)
        if commit:
            await self._live.commit(producer)
        else:
            async with asyncio.timeout(COMMIT_S):
                await producer.abort_transaction()
