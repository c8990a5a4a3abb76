"""Drives a study's core in tests: a scripted shell that notes effects and can answer them."""

from collections.abc import Iterable
from typing import Any

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.restored import Restored
from participant.core.study import StudyCore
from schemas.plan import Plan
from schemas.records import Decided, Outcome, Receipt
from tests.schemas.plans import PLAN, changed

FIRST = 1000  # the first sequence of a fresh outbox in these tests
FRESH = Restored(sequence_next=FIRST)
MEASURED = Restored(sequence_next=FIRST, evaluated=0)  # version 0 is evaluated already


def plan(*, every: int = 1000, alone: bool = False, **parts: Any) -> Plan:
    """A plan whose versions are hardly ever evaluated, unless asked for."""
    return changed(evaluation={"every": every, "alone": alone}, **parts)


def receipt(
    sequence: int,
    outcome: Outcome,
    *,
    code: str | None = None,
    next_offset: int = 100,
    recent: Iterable[tuple[int, Outcome]] = (),
) -> Receipt:
    decided = tuple(Decided(number, int(what), None, None, 0) for number, what in recent)
    return Receipt(PLAN.study, "site-1", sequence, int(outcome), code, None, 0, next_offset, decided)


def rests(core: StudyCore) -> bool:
    """Whether nothing is under way and nothing undecided."""
    return core.state is State.IDLE and not core.outbox


class Driver:
    """A core with its clock; `tell` returns the effects, `shown` is its state."""

    def __init__(self, of: Plan | None = None, *, restored: Restored | None = None, jitter: float = 0.5) -> None:
        self.core = StudyCore(of or plan(), "site-1", jitter=lambda: jitter, restored=restored or MEASURED)
        self.now_ms = 0
        self.sequence = (restored.sequence_next if restored else FIRST) - 1
        self._state: State | None = None

    def tell(self, *events: Event) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.core.on(event, self.now_ms)
        for effect in effects:
            if isinstance(effect, do.Show):
                self._state = effect.state
        return [effect for effect in effects if not isinstance(effect, do.Show)]

    def shown(self) -> State | None:
        """The state shown last."""
        return self._state

    def join(self, version: int = 0, *, final: bool = False) -> list[Effect]:
        """Connected, allowed, and a first announcement read."""
        return self.tell(seen.Held(""), seen.Linked(True), seen.Announced(version, final))

    def announce(self, version: int, *, final: bool = False) -> list[Effect]:
        return self.tell(seen.Announced(version, final))

    def seal(self, base_version: int) -> list[Effect]:
        """The update from `base_version` is trained and in the outbox."""
        self.sequence += 1
        trained = self.tell(seen.Trained(base_version))
        return trained + self.tell(seen.Sealed(base_version, self.sequence))

    def send(self, *, offset: int = 0) -> list[Effect]:
        return self.tell(seen.Sent(self.sequence, offset))

    def offer(self, version: int) -> None:
        """From a fetch under way to an offered update."""
        self.tell(seen.Fetched(version))
        self.seal(version)
        self.send()

    def wait(self) -> list[Effect]:
        """Let time pass until the core wants to be woken."""
        assert self.core.wake_ms is not None, "nothing to wait for"
        self.now_ms = self.core.wake_ms
        return self.tell(seen.Tick())
