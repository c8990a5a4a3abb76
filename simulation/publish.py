"""What a coordinator writes: bodies first, then the records of one transaction.

Source: coordinator/shell/publish.py and epochs.py, which it stands for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.core.events import Close, Cohort
from protocol.round_records import Ground, first_version, request_of, version_again, version_of_cohort
from protocol.rounds import RoundsRecord, RoundsView
from schemas.records import (
    CHUNK_BYTES,
    Announcement,
    BodyAt,
    BodyRef,
    Receipt,
    Request,
    Stop,
)
from simulation.epochs import Epochs
from simulation.lead import Leader
from simulation.records import Chosen, Model, SentOffer, State
from simulation.transactions import Then, Transactions, Writing, Written


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the bodies of a version lie; version 0 has no state, and neither has a step that remembers nothing."""

    model: BodyAt
    state: BodyAt | None = None


class Publisher:
    """Everything that one leader writes."""

    def __init__(self, node: Leader, transactions: Transactions) -> None:
        self._node, self.transactions = node, transactions
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

    def half(self, version: int) -> None:
        """What was sent of the bodies of a version that came to nothing stays where it is."""
        self._log.models.append(State(version, (), b"half"))

    def first(self, view: RoundsView, model: Placed) -> Announcement:
        """The Announcement of version 0."""
        return first_version(view, self._ground, model.model)

    def again(self, view: RoundsView, stop: Stop) -> Announcement:
        """The newest version once more: to other members, or as the last one."""
        newest = view.newest
        assert newest is not None
        return version_again(view, self._ground, newest, stop)

    def request(self, view: RoundsView, cohort: Cohort, offers: tuple[SentOffer, ...]) -> Request:
        body = self._log.put_cohort(offers)
        return request_of(view, self._ground, cohort.entries, body_at(body, 1, self._log.models.end))

    def announce(self, request: Request, close: Close, model: Placed, total: bytes) -> Announcement:
        return version_of_cohort(request, self._ground, close, total=total, model=model.model, state=model.state)

    @property
    def _ground(self) -> Ground:
        roster = self._node.roster
        return Ground(roster.serial, roster.digest, self.epochs.current)

    def commit(self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Then) -> None:
        """One transaction; `then` once it is certain. The process ends when another one leads."""
        log, scene = self._log, self._node.scene
        rounds = [Written(log.rounds, Chosen.of(one) if isinstance(one, Request) else one, None) for one in records]
        decided = [Written(log.receipts, one, one.site) for one in receipts]
        self.transactions.write(Writing((*rounds, *decided), lambda: scene.committed(records, receipts)), then)

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

        self.transactions.write(Writing(keys, lambda: self._node.scene.story.keys_given(given)), noted)


def body_at(digest: bytes, size_bytes: int, offset: int) -> BodyAt:
    """A body of `size_bytes` as one run; in the simulation one record holds it whole."""
    count = -(-size_bytes // CHUNK_BYTES)
    return BodyAt(digest, BodyRef(0, size_bytes, ((offset, count),), bytes(32 * count), ()))
