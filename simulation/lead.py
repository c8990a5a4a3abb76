"""What the parts of a leading coordinator share: its process, its core, and the queue in which everything is heard.

Knows:    what may wait in the queue, and whether this process still leads.
Never:    decides, reads or writes; its parts do.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.core.events import Effect, Event
from coordinator.core.study import StudyCore
from simulation.election import Candidate
from simulation.link import Link
from simulation.records import SentOffer
from simulation.scene import Scene


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """There is a newer roster."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What lies before these offsets of the sites' topics stands before this in the queue."""

    positions: Mapping[str, int]


Fact = Event | SentOffer | MembersChanged | Heard


@dataclass(slots=True)
class Mishaps:
    """What faults have in store for a coordinator; whatever restarts, it stays until it has happened."""

    loses_answer: bool = False  # of the next commit
    aborts: bool = False  # its next transaction
    overflows: int = 0  # so many sums more fail their range check


class Leader(Candidate):
    """A coordinator's process, as what it runs knows it."""

    def __init__(self, scene: Scene, name: str, link: Link) -> None:
        super().__init__(scene, name, link)
        self.mishaps = Mishaps()

    @abstractmethod
    def runs(self, lead: "Lead") -> bool:
        """Whether `lead` is what this process runs now."""


class Lead(ABC):
    """One study of the process that leads. `marked`: positions of the newest bookmark that it knows of."""

    def __init__(self, node: Leader, core: StudyCore, marked: Mapping[str, int]) -> None:
        self.node, self.core = node, core
        self.scene, self.clock, self.plan = node.scene, node.clock, node.scene.plan
        self.marked = dict(marked)
        self.queue: deque[Fact] = deque()
        self.busy = False  # something is awaited: nothing is heard meanwhile

    @property
    def over(self) -> bool:
        """Whether the process has stopped running this since."""
        return not self.node.runs(self)

    @abstractmethod
    def post(self, fact: Fact) -> None:
        """One more fact: heard in turn."""

    @abstractmethod
    def tell(self, event: Event) -> list[Effect]:
        """Tell the core at once; the effects are not done yet."""

    @abstractmethod
    def resume(self, effects: list[Effect]) -> None:
        """What was awaited is there: these follow from it, then what waits."""
