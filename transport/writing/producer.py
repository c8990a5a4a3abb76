"""The producer that a transactional writer has at the moment: made, told to commit or take back, dropped after errors.

Knows:    what an error means for a transaction that was not committed; a commit that is not answered is in doubt.
Never:    uses a producer of aiokafka again after an error.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from transport import inside
from transport.clients import STOP_S, end, new_producer, of_no_interest, refused, started
from transport.errors import Fenced, TransactionAborted
from transport.settings import KafkaSettings
from transport.staying.link import Link

COMMIT_S = 30.0

_FENCED = ProducerFenced | InvalidProducerEpoch
# aiokafka's state machine asserts where a producer died under it
BROKEN = (KafkaError, IllegalOperation, AssertionError, OSError)


class LiveProducer:
    """Of one transactional id. `now` is None while there is none."""

    def __init__(self, settings: KafkaSettings, link: Link, transactional_id: str) -> None:
        self._settings, self._link, self._id = settings, link, transactional_id
        self.now: AIOKafkaProducer | None = None

    async def new(self) -> AIOKafkaProducer:
        self.now = await started(lambda: new_producer(self._settings, transactional_id=self._id), self._link)
        return self.now

    def failure(self, error: BaseException, producer: AIOKafkaProducer, topic: str = "") -> Exception:
        """What an error before the commit means: nothing was committed, whatever else."""
        if is_fenced(error, producer):
            return Fenced(f"another process has taken over {self._id}")
        return refused(error, topic) or TransactionAborted(f"transaction of {self._id} was not committed: {error!r}")

    @asynccontextmanager
    async def guarded(self, producer: AIOKafkaProducer) -> AsyncIterator[None]:
        """Raises what an error in the block means for a transaction that was not committed."""
        try:
            yield
        except (*BROKEN, TimeoutError) as error:
            await self.drop()
            raise self.failure(error, producer) from error
        except BaseException:
            await self.drop()
            raise

    async def commit(self, producer: AIOKafkaProducer) -> None:
        """A commit that is not answered is in doubt; the log knows more than a longer wait would."""
        stall_s = self._link.stall_s("commit", COMMIT_S)
        try:
            async with asyncio.timeout(stall_s):
                await producer.commit_transaction()
        except TimeoutError:
            self._link.rebuilt("commit", f"a commit of {self._id} not answered for {stall_s:.0f} s")
            raise
        self._link.got_on("commit")
        self._link.got_on("producer")

    async def abort(self, producer: AIOKafkaProducer) -> None:
        """Take an open transaction back; where that fails in time, the next start of this id does it.

        Either way a new producer comes next, which looks whether readers were told: records that were taken back and
        hang would count with its first commit.
        """
        task = asyncio.ensure_future(producer.abort_transaction())
        task.add_done_callback(of_no_interest)
        try:
            await asyncio.wait({task}, timeout=STOP_S)
        finally:
            task.cancel()
            await self.drop()

    async def drop(self) -> None:
        producer, self.now = self.now, None
        if producer is not None:
            await end(producer)


def is_fenced(error: BaseException, producer: AIOKafkaProducer) -> bool:
    """Whether a producer was overtaken; its own task may have heard of it while the caller meets only the wreck."""
    if isinstance(error, _FENCED) or not inside.is_fatal(producer):
        return isinstance(error, _FENCED)
    waiter = inside.transaction_end(producer)
    return waiter is not None and waiter.done() and isinstance(waiter.exception(), _FENCED)
