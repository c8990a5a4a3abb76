"""How a leader writes a transaction: it ends in one of the ways it can, and what became hidden is shown or taken back.

Source: transport/writing/transactions.py and visible.py, which it stands for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocol.rounds import RoundsRecord
from schemas.records import EpochKey, Receipt
from simulation.clock import ProcessEnded
from simulation.lead import Leader
from simulation.log import Fate, Topic
from simulation.process import Point
from simulation.records import Chosen, Given

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


class Transactions:
    """One leader's; its producer is fenced as soon as another one leads."""

    def __init__(self, node: Leader) -> None:
        self._node, self._log = node, node.scene.log
        self._producer = self._log.fence()
        self._ending = False

    def write(self, writing: Writing, then: Then) -> None:
        """One transaction; `then` once it is certain. The process ends when another one leads."""
        node, producer, now_ms = self._node, self._producer, self._node.clock.now_ms
        if self._ending:
            node.clock.after(ENDING_MS, node, self.write, writing, then)
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
            self.write(writing, then)
            return
        self._end_hidden(lambda: self.write(writing, then), commit=True)

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
            node.clock.after(node.scene.costs.transaction_ms, node, self.write, writing, then)

        self.settle(again)

    def _ask_the_log(self, then: Then) -> None:
        """The answer to the commit got lost: a new producer of the same id, then what the log says."""
        node = self._node
        self._producer = self._log.fence()

        def read() -> None:
            node.clock.after(node.scene.costs.restore_ms, node, then)

        self.settle(read)
