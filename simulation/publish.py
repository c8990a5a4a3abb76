"""What a coordinator writes, and how: bodies first, then one transaction, which ends in one of the ways it can.

Source: coordinator/shell/publish.py and transport/writing/transactions.py, which it stands for.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.core.events import Close
from protocol.digests import record_digest
from protocol.rounds import RoundsRecord, RoundsView
from schemas.records import (
    CHUNK_BYTES,
    Announcement,
    BodyAt,
    BodyRef,
    EpochKey,
    Failed,
    Receipt,
    Request,
    Stop,
    Summary,
)
from simulation.clock import ProcessEnded
from simulation.epochs import Epochs
from simulation.lead import Leader
from simulation.log import Fate, Producer, Topic
from simulation.process import Point
from simulation.records import Chosen, Given, Model, State

ROSTER = hashlib.sha256(b"roster").digest()
SHOW_MS = 1_000
LOOK_MS = 10_000
ENDING_MS = 10


Then = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Written:
    """One record of a transaction, on its topic, under its key."""

    topic: Topic[Any]
    value: RoundsRecord | Chosen | Receipt | Given
    key: str | None

    @property
    def point(self) -> str:
        """The name of the record on the wire."""
        if isinstance(self.value, Given):
            return EpochKey.__name__
        return type(self.value.record if isinstance(self.value, Chosen) else self.value).__name__


@dataclass(frozen=True, slots=True)
class Writing:
    """A transaction that is to be; `tell` is called once it can be read."""

    records: tuple[Written, ...]
    tell: Then


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the bodies of a version lie; version 0 has no state, and neither has a step that remembers nothing."""

    model: BodyAt
    state: BodyAt | None = None


class Publisher:
    """Everything that one leader writes; `producer` is fenced as soon as another one leads."""

    def __init__(self, node: Leader, producer: Producer) -> None:
        self._node, self._producer = node, producer
        self._ending = False
        self.epochs = Epochs((), "")
        self._log = node.scene.log
        self._plan = node.scene.plan

    def model(self, model: Model) -> Placed:
        """Append a model to `models`, with what its optimiser remembers; their upload has taken its time before."""
        size_bytes, models = 4 * self._plan.parameters, self._log.models
        placed = body_at(model.digest, size_bytes, models.append(model.bare))
        if not (model.version and (model.state or model.moments)):
            return Placed(placed)
        state = State(model.version, model.state, model.moments)
        return Placed(placed, body_at(model.digest, size_bytes, models.append(state)))

    def first(self, view: RoundsView, model: Placed) -> Announcement:
        """The Announcement of version 0."""
        return self._announcement(view, index=0, previous=view.previous, version=0, model=model)

    def again(self, view: RoundsView, stop: Stop) -> Announcement:
        """The newest version once more: to other members, or as the last one."""
        newest = view.newest
        assert newest is not None
        return self._announcement(
            view, index=view.next_index, previous=view.previous, version=newest.version,
            model=Placed(newest.model, newest.state),
            patience=newest.patience, stop=stop,
        )  # fmt: skip

    def request(self, view: RoundsView, close: Close) -> Request:
        return Request(
            study=view.study, index=view.next_index, previous=view.previous, version=view.version, plan=view.plan,
            roster_serial=self._node.roster.serial, roster=self._node.roster.digest, entries=close.entries,
            cohort=body_at(ROSTER, 1, self._log.models.end), after_refusal=None,
        )  # fmt: skip

    def announce(self, view: RoundsView, close: Close, request: Request, model: Placed, total: bytes) -> Announcement:
        digest = record_digest(request.to_bytes())
        return self._announcement(
            view, index=request.index + 1, previous=digest, version=close.version, model=model, request=digest,
            total=total, n=len(close.entries), sum_w=close.sum_w, evaluations=close.evaluations,
            patience=close.patience, stop=close.stop, summary=close.summary,
        )  # fmt: skip

    def failed(self, close: Close, request: Request, code: str) -> Failed:
        digest = record_digest(request.to_bytes())
        names = tuple(entry.site for entry in close.entries)
        return Failed(self._plan.study, request.index + 1, digest, digest, code, names)

    def commit(self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Then) -> None:
        """One transaction; `then` once it is certain. The process ends when another one leads."""
        log, scene = self._log, self._node.scene
        rounds = [Written(log.rounds, Chosen.of(one) if isinstance(one, Request) else one, None) for one in records]
        decided = [Written(log.receipts, one, one.site) for one in receipts]
        self._write(Writing((*rounds, *decided), lambda: scene.committed(records, receipts)), then)

    def read_keys(self) -> None:
        """Which epochs there are, and who has their keys."""
        given = [entry.value for entry in self._log.keys.read(0)[0] if entry.value is not None]
        self.epochs = Epochs(given, f"{self._node.name} {self._node.life}")

    def ensure_keys(self, then: Then) -> None:
        """Give the current key to whom the roster lists, in a transaction of its own; begin an epoch where one left."""
        given = self.epochs.wanted(self._node.roster.sites)
        if not given:
            then()
            return
        keys = tuple(Written(self._log.keys, one, f"{one.epoch}/{one.member}") for one in given)

        def noted() -> None:
            self.epochs.note(given)
            then()

        self._write(Writing(keys, lambda: self._node.scene.story.keys_given(given)), noted)

    def _write(self, writing: Writing, then: Then) -> None:
        node, producer, now_ms = self._node, self._producer, self._node.clock.now_ms
        if self._ending:
            node.clock.after(ENDING_MS, node, self._write, writing, then)
            return
        if self._log.hidden:  # what was committed before is shown first
            node.clock.after(SHOW_MS, node, self._show_first, writing, then)
            return
        producer.begin(now_ms, len(writing.records), writing.tell)
        for one in writing.records:
            node.hazard(one.point)
            producer.send(one.topic, one.value, one.key, now_ms)
        arrives_ms = node.link.sent_ms(now_ms, 0) + node.scene.costs.transaction_ms
        node.clock.at(arrives_ms, node, self._end, writing, then)

    def settle(self, then: Then) -> None:
        """Behind the fence: what is hidden is committed where all of it is there, and taken back where it is not."""
        whole = {transaction.whole for transaction in self._log.hidden}
        assert len(whole) < 2, "a transaction was begun while another one was hidden"
        self._end_hidden(then, commit=whole == {True})

    def _show_first(self, writing: Writing, then: Then) -> None:
        if self._ending:  # an idle look came first
            self._write(writing, then)
            return
        self._end_hidden(lambda: self._write(writing, then), commit=True)

    def _show(self) -> None:
        """An idle leader looks now and then; a busy one shows it before its next transaction."""
        if self._log.open is None and not self._ending:
            self._end_hidden(lambda: None, commit=True)

    def _end_hidden(self, then: Then, *, commit: bool) -> None:
        """End what is hidden, by a transaction that may be cut short itself; then it is taken back as a whole.

        Where a part of the hidden one can be read already, that would leave a part of it on the log (the condition
        log-lost: a person has to act), so that histories do not cut it short there.
        """
        if not self._log.hidden:
            then()
            return
        node = self._node
        node.hazard(Point.HIDDEN)
        self._producer.begin_ending(node.clock.now_ms)
        if any(Fate.COMMITTED in transaction.fates.values() for transaction in self._log.hidden):
            self._ended_hidden(then, commit)
            return
        self._ending = True
        node.clock.after(node.scene.costs.transaction_ms, node, self._ended_hidden, then, commit)

    def _ended_hidden(self, then: Then, commit: bool) -> None:
        if self._ending:
            self._node.hazard(Point.SHOWN)
        self._ending = False
        if commit:
            self._producer.commit(self._node.clock.now_ms)
        else:
            self._producer.abort()
        self._node.scene.shown()
        if self._log.hidden:  # the broker has forgotten these markers as well
            self._end_hidden(then, commit=commit)
        else:
            then()

    def _end(self, writing: Writing, then: Then) -> None:
        node = self._node
        node.hazard(Point.END)
        if node.mishaps.aborts:
            node.mishaps.aborts = False
            self._producer.abort()
            self.aborted(writing, then)
            return
        self._producer.commit(node.clock.now_ms)
        node.hazard(Point.COMMITTED)
        if self._log.hidden:
            node.clock.after(LOOK_MS, node, self._show)
        if node.mishaps.loses_answer:
            node.mishaps.loses_answer = False
            self._ask_the_log(then)
        else:
            then()

    def aborted(self, writing: Writing, then: Then) -> None:
        """Certainly not committed: a new producer, and the same records again. The process ends where all of them turn
        out to be there.
        """
        node = self._node
        self._producer = self._log.fence()
        there = any(transaction.whole for transaction in self._log.hidden)

        def again() -> None:
            if there:
                raise ProcessEnded("its own records are there")
            node.clock.after(node.scene.costs.transaction_ms, node, self._write, writing, then)

        self.settle(again)

    def _ask_the_log(self, then: Then) -> None:
        """The answer to the commit got lost: a new producer of the same id, then what the log says."""
        node = self._node
        self._producer = self._log.fence()

        def read() -> None:
            node.clock.after(node.scene.costs.restore_ms, node, then)

        self.settle(read)

    def _announcement(
        self,
        view: RoundsView,
        *,
        index: int,
        previous: bytes,
        version: int,
        model: Placed,
        request: bytes | None = None,
        total: bytes | None = None,
        n: int = 0,
        sum_w: int = 0,
        evaluations: tuple[tuple[str, bytes], ...] = (),
        patience: int = 0,
        stop: Stop = Stop.NONE,
        summary: Summary | None = None,
    ) -> Announcement:
        return Announcement(
            study=view.study, index=index, previous=previous, version=version, plan=view.plan,
            roster_serial=self._node.roster.serial, roster=self._node.roster.digest, key_epoch=self.epochs.current,
            request=request, partial_sums=(), sum=total, n=n, sum_w=sum_w, model=model.model, state=model.state,
            evaluations=evaluations, patience=patience, stop=int(stop), final=stop is not Stop.NONE,
            summary=summary,
        )  # fmt: skip


def body_at(digest: bytes, size_bytes: int, offset: int) -> BodyAt:
    """A body of `size_bytes` as one run; in the simulation one record holds it whole."""
    count = -(-size_bytes // CHUNK_BYTES)
    return BodyAt(digest, BodyRef(0, size_bytes, ((offset, count),), bytes(32 * count), ()))
