"""What a leading coordinator writes to `rounds` and `receipts`, on virtual time, and what follows each transaction.

Knows:    a version's bodies are sent while its step is computed; what was sent of a step that failed stays on `models`.
Source:   coordinator/shell/rounds.py, making.py and trim.py, which it stands for.
"""

from collections import deque
from collections.abc import Callable, Iterable

from coordinator.core.events import Asked, Close, Cohort, Committed, Effect, End, Fail, Stepped, Undone, Wrong
from coordinator.core.pending import Pending
from coordinator.core.replay import first_offset
from protocol.round_records import failed_cohort
from protocol.rounds import RoundsRecord, RoundsView
from schemas.errors import PeerError
from schemas.records import Receipt, Request, Stop
from simulation.lead import Lead
from simulation.process import Point
from simulation.publish import Publisher
from simulation.records import Model
from simulation.spool import Spool

Then = Callable[[], list[Effect]]


class Rounds:
    """The rounds of the study that `run` leads; `model` is the newest version's."""

    def __init__(
        self, run: Lead, spool: Spool, view: RoundsView, model: Model, publisher: Publisher, firsts: Iterable[int]
    ) -> None:
        """`firsts`: where the newest versions on the log lie on `models`, in order."""
        self.view, self.model = view, model
        self.sum = run.scene.vectors.new_sum()
        self.pending = Pending(run.node.now_ms())
        self._run, self._spool, self._publisher = run, spool, publisher
        self._firsts = deque(firsts, maxlen=run.plan.storage.versions_kept)

    def flush(self) -> None:
        """Refusals leave in a transaction of their own, at most one a second."""
        receipts = self.pending.flush(self._run.node.now_ms())
        if receipts:
            self._commit([], receipts, self._flushed)

    def under_current_key(self, then: Then) -> None:
        """Keys to whom the roster lists, then the newest version once more where its key is not the current one.

        Not while a Request is open: what ends it is under the current key, or is followed by this.
        """
        self._run.busy = True
        self._publisher.ensure_keys(lambda: self._announce_under(then))

    def end(self, end: End) -> None:
        """The newest version once more, as the last one."""
        self._commit([self._publisher.again(self.view, end.stop)], [], list)

    def ask(self, cohort: Cohort) -> None:
        """The Request, in a transaction of its own."""
        self._run.node.hazard(Point.RECORDS)
        self._commit([self._request(cohort)], [], lambda: self._run.tell(Asked()))

    def close(self, close: Close) -> None:
        """Step and upload, commit; then the core hears of it."""
        run = self._run
        run.busy = True
        run.scene.story.closing(self.sum.coefficients, close)
        run.clock.after(run.scene.costs.step_ms, run.node, self._step, close, run.clock.now_ms)

    def trim(self) -> None:
        """The newest `versions_kept` models stay on the log."""
        if len(self._firsts) == self._firsts.maxlen:
            self._run.scene.log.models.trim(self._firsts[0])

    def _step(self, close: Close, began_ms: int) -> None:
        run = self._run
        try:
            if run.node.mishaps.overflows:
                run.node.mishaps.overflows -= 1
                raise PeerError("the sum has a word out of range", code="range")
            model, total = run.scene.vectors.step(self.model, self.sum, n=len(close.entries), sum_w=close.sum_w)
        except PeerError as error:
            self._publisher.half(close.version)
            run.resume(run.tell(Wrong(error.code)))
            return
        arrives_ms = run.node.link.sent_ms(began_ms, 4 * run.plan.parameters)
        run.clock.at(arrives_ms, run.node, self._uploaded, close, model, total)

    def _uploaded(self, close: Close, model: Model, total: bytes) -> None:
        self._run.node.hazard(Point.MODEL)
        body = self._publisher.model(model)
        self._run.node.hazard(Point.RECORDS)
        stepped = self._run.tell(Stepped())
        assert not stepped
        asked, asking = self._asked(close.cohort)
        announcement = self._publisher.announce(asked, close, body, total)

        def effects_after() -> list[Effect]:
            self.model = model
            self._forget(close.cohort)
            self._firsts.append(first_offset(announcement, asked))
            self.trim()
            return self._run.tell(Committed(close.version, model.digest))

        self._commit([*asking, announcement], self.pending.with_cohort(close.receipts), effects_after)

    def fail(self, failing: Fail) -> None:
        """The transaction that ends a round without a version."""
        asked, asking = self._asked(failing.cohort)
        failed = failed_cohort(asked, failing.code)

        records: list[RoundsRecord] = [*asking, failed]

        def then() -> None:
            for record in records:
                self.view.add(record)
            self._forget(failing.cohort)
            self._announce_under(lambda: self._run.tell(Undone()))

        self._run.busy = True
        self._publisher.commit(records, self.pending.with_cohort(failing.receipts), then)

    def _asked(self, cohort: Cohort) -> tuple[Request, list[RoundsRecord]]:
        """The Request of this round, and what has to be written of it."""
        if self.view.open_request is not None:
            return self.view.open_request, []
        request = self._request(cohort)
        return request, [request]

    def _request(self, cohort: Cohort) -> Request:
        return self._publisher.request(self.view, cohort, self._spool.offers(cohort))

    def _announce_under(self, then: Then) -> None:
        newest = self.view.newest
        assert newest is not None
        if newest.key_epoch == self._publisher.epochs.current or self.view.open_request is not None:
            self._run.resume(then())
        else:
            self._commit([self._publisher.again(self.view, Stop(newest.stop))], [], then)

    def _flushed(self) -> list[Effect]:
        self.pending.flushed(self._run.node.now_ms())
        return []

    def _commit(self, records: list[RoundsRecord], receipts: list[Receipt], effects_after: Then) -> None:
        self._run.busy = True

        def then() -> None:
            for record in records:
                self.view.add(record)
            self._run.resume(effects_after())

        self._publisher.commit(records, receipts, then)

    def _forget(self, cohort: Cohort) -> None:
        self.sum.clear()
        for offer in cohort.offers:
            self._spool.forget(offer)
