"""What every job has to say for itself, so that nobody else asks which one it is.

Never:    awaits, reads a clock or a file, knows another job by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from schemas.plan import Plan


@dataclass(slots=True)
class Ground:
    """What all jobs of one study look at.

    counted   updates of this site that counted
    trained   base version -> sequence of the update that was made from it, as far back as one may still count
    """

    plan: Plan
    pauses: Pauses
    counted: int
    trained: dict[int, int]
    newest: seen.Announced | None = None
    nobody: bool = False  # there is no training patient here: said once, and versions are judged alone
    jobs: "Sequence[Job]" = field(default=())

    @property
    def final(self) -> bool:
        """Whether the newest version is the study's last."""
        return self.newest is not None and self.newest.final

    def late(self, base_version: int) -> bool:
        """Whether an update from this version, not offered yet, can never count."""
        assert self.newest is not None
        return self.newest.final or self.newest.version - base_version > self.plan.aggregation.staleness_max


@dataclass(frozen=True, slots=True)
class Next:
    """A job goes on with the same version, under another kind or its own; `effect` is what begins it, if anything."""

    kind: str
    effect: Effect | None = None


class Job:
    """One kind of work with a version, of which at most one is done at a time in a study.

    kind          names its failures, its pauses, its alarm
    fails, to_do  what people are told when it has failed often
    hears         the events that tell how it ended
    gives_way     it is put aside for any other, and begun again
    makes_update  the outbox has to have room for what comes of it
    is_final      it is short and never stopped half-way
    is_minor      nothing waits for it: a site at which it fails is not said to fail
    goes_along    what it finds goes with the evaluation of the last version, which waits for it
    """

    kind: ClassVar[str]
    fails: ClassVar[str]
    to_do: ClassVar[str]
    hears: ClassVar[tuple[type[Event], ...]]
    gives_way: ClassVar[bool] = False
    makes_update: ClassVar[bool] = False
    runs_through: ClassVar[bool] = False
    is_minor: ClassVar[bool] = False
    goes_along: ClassVar[bool] = False

    def __init__(self, ground: Ground, restored: Restored) -> None:
        self._ground, self._pauses = ground, ground.pauses

    def version_of(self, event: Event) -> int | None:
        """Which version an event that it hears is about; None: whichever it is at."""
        return None

    def announced(self, before: seen.Announced | None, now: seen.Announced) -> None:
        """There is a newer announcement; `before` is the one that was the newest until now."""

    def is_wanted(self) -> bool:
        """Whether it still has something to do that needs no version."""
        return False

    def wants(self, version: int) -> bool:
        """Whether it has something to do with this version, now or after a pause."""
        return False

    def presses(self, version: int, now_ms: int) -> bool:
        """Whether what gives way has to wait for it."""
        return self.wants(version)

    def begin(self, version: int, now_ms: int) -> Effect | None:
        """What begins it with a version that was fetched, if it may begin now."""
        return None

    def begin_aside(self, now_ms: int) -> Effect | None:
        """What begins it when no other is at work, if it may begin now; for what gives way."""
        return None

    def again(self, version: int, now_ms: int) -> Effect | None:
        """What begins it once more while it is at work, when a pause is over."""
        return None

    def pointless(self, version: int) -> bool:
        """Whether nothing can come of it any more with this version."""
        return False

    def ended(self, event: Event, now_ms: int) -> Next | None:
        """Note how it ended; what goes on with its version, if anything does."""
        return None
