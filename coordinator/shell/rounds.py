"""What one study writes to `rounds` and `receipts`, and the vectors of the newest version that it is written from.

Knows:    the order of writing: bodies, then one transaction; then the view has it, and memory follows.
Never:    decides; writes anything of another cohort between a Request and its end.
"""

from dataclasses import dataclass

import structlog

from coordinator.core.events import Asked, Close, Cohort, Committed, Fail, Undone, Wrong
from coordinator.core.pending import Pending
from coordinator.shell.bodies import Bodies
from coordinator.shell.epochs import Epochs
from coordinator.shell.making import Making
from coordinator.shell.publish import Made, Publisher, remove_quietly
from coordinator.shell.services import now_ms
from coordinator.shell.telling import Telling
from coordinator.shell.trim import Trimmer
from coordinator.shell.vectors import Stored
from protocol.round_records import failed_cohort
from protocol.rounds import RoundsRecord, RoundsView
from schemas.errors import PeerError
from schemas.records import Announcement, Receipt, Request, Stop

log = structlog.get_logger()


@dataclass(slots=True)
class Newest:
    """The newest version's vectors, in files of this process."""

    model: Stored
    state: Stored | None

    def replace(self, model: Stored, state: Stored | None) -> None:
        """Another version is the newest; the files of the one before are of no use any more."""
        remove_quietly(self.model.path)
        remove_quietly(self.state.path if self.state else None)
        self.model, self.state = model, state


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one study, written by the coordinator that leads it."""

    view: RoundsView
    newest: Newest
    pending: Pending
    epochs: Epochs
    publisher: Publisher
    making: Making
    bodies: Bodies
    trimmer: Trimmer
    telling: Telling

    async def ask(self, cohort: Cohort) -> Asked:
        """The Request, in a transaction of its own."""
        body = await self.publisher.cohort(self.bodies.offers(cohort))
        await self._commit([self.publisher.request(self.view, cohort, body)])
        return Asked()

    async def make(self, close: Close) -> Made | Wrong:
        """The version of a round whose sum is there, up to its bodies on the log."""
        offers = self.bodies.offers(close.cohort) if self.view.open_request is None else None
        try:
            return await self.making.make(close, self.bodies.sum, self.newest.model, self.newest.state, offers)
        except PeerError as error:
            sites = [entry.site for entry in close.entries]
            log.error("round failed", study=self.view.study, version=close.version, reason=str(error), sites=sites)
            return Wrong(error.code)

    async def announce(self, close: Close, made: Made) -> Committed:
        """The transaction that ends a round with its version."""
        request, asking = self.view.open_request, list[RoundsRecord]()
        if request is None:
            assert made.cohort is not None
            request = self.publisher.request(self.view, close.cohort, made.cohort)
            asking = [request]
        announcement = self.publisher.announce(request, close, made)
        await self._commit([*asking, announcement], self.pending.with_cohort(close.receipts))
        self.newest.replace(made.stepped.model, made.stepped.state)
        self.bodies.forget(close.cohort)
        self.telling.announced(close)
        self.trimmer.announced(announcement, request)
        return Committed(close.version, made.stepped.model.digest)

    async def fail(self, failing: Fail) -> Undone:
        """The transaction that ends a round without one."""
        cohort, request = failing.cohort, self.view.open_request
        asking = [await self._request(cohort)] if request is None else []
        failed = failed_cohort(request or asking[0], failing.code)
        await self._commit([*asking, failed], self.pending.with_cohort(failing.receipts))
        self.bodies.forget(cohort)
        self.telling.failed(failing)
        return Undone()

    async def announce_again(self, stop: Stop) -> None:
        """The newest version once more: as the last one, or to other members."""
        await self.announce_one(self.publisher.again(self.view, stop))

    async def announce_one(self, announcement: Announcement) -> None:
        await self._commit([announcement])

    async def under_current_key(self) -> None:
        """The newest Announcement once more under the current key, where that is another: who joins has it alone.

        The log says whether that was done: a predecessor may have died between the keys and the Announcement. While a
        Request is open nothing may come between it and its end, which is under the current key then.
        """
        newest = self.view.newest
        assert newest is not None
        if newest.key_epoch != self.epochs.current and self.view.open_request is None:
            log.info("new epoch", study=self.view.study, epoch=self.epochs.current)
            await self.announce_again(Stop(newest.stop))

    async def flush(self) -> None:
        """Refusals leave in a transaction of their own, at most one a second."""
        receipts = self.pending.flush(now_ms())
        if receipts:
            await self._commit([], receipts)
            self.pending.flushed(now_ms())

    async def _request(self, cohort: Cohort) -> Request:
        body = await self.publisher.cohort(self.bodies.offers(cohort))
        return self.publisher.request(self.view, cohort, body)

    async def _commit(self, records: list[RoundsRecord], receipts: list[Receipt] | None = None) -> None:
        await self.publisher.commit(records, receipts or [])
        for record in records:
            self.view.add(record)
