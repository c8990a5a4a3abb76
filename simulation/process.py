"""A process of the federation: it lives, dies between any two effects, comes back, and may be frozen meanwhile.

Knows:    its link and its own clock, which may run ahead of others and jump forward; it is monotonic like the real one.
"""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from simulation.clock import ProcessEnded
from simulation.link import Link
from simulation.roster import Roster
from simulation.scene import Scene

KILLED = "killed"


class Point(StrEnum):
    """Where a coordinator may die besides before an effect and before a record of a transaction."""

    MODEL = "the body of a version"
    RECORDS = "the records of a version"
    END = "the end of a transaction"
    COMMITTED = "the answer to a commit"
    HIDDEN = "the end of what is hidden"
    SHOWN = "the second end of what is hidden"


class SitePoint(StrEnum):
    """Where a site may die besides before an effect."""

    SEALED = "word of an update that stands in the outbox"
    OFFERED = "the answer to an offer"
    MEASURED = "the note of an evaluation that was sent"
    FLUSHED = "what follows a write of small facts"


@dataclass(slots=True)
class Doom:
    """How a process will die: after so many effects more, or before the next one of this name."""

    left: int = 0
    before: str = ""

    def comes(self, point: str) -> bool:
        """Whether it is now, before `point`."""
        if self.before:
            return point == self.before
        self.left -= 1
        return self.left < 0


class Process(ABC):
    """Base of coordinator and site. `life` counts its lives: timers of an earlier one are never called."""

    def __init__(self, scene: Scene, name: str, link: Link) -> None:
        self.scene, self.name, self.link = scene, name, link
        self.clock = scene.clock
        self.life = 0
        self.frozen_until_ms = 0
        self.alive = False
        self.roster = scene.roster  # as this process has read it
        self.ahead_ms = 0  # how far its monotonic clock is ahead of virtual time
        self.doom: Doom | None = None
        self.restart_after_ms = scene.costs.restart_ms
        self.random = random.Random(f"{scene.seed}/{name}")

    def now_ms(self) -> int:
        """What its monotonic clock shows."""
        return self.clock.now_ms + self.ahead_ms

    def start(self) -> None:
        """Begin a life."""
        self.life += 1
        self.alive = True
        self.roster = self.scene.roster
        self.born()

    @abstractmethod
    def born(self) -> None:
        """What a process does when it starts."""

    @abstractmethod
    def died(self) -> None:
        """What a death takes with it besides memory."""

    def read_roster(self, roster: Roster) -> None:
        """The registrar's word has come to this process."""
        if roster.serial > self.roster.serial:
            self.roster = roster
            self.membership_changed()

    @abstractmethod
    def membership_changed(self) -> None:
        """There is a newer roster."""

    def hazard(self, point: str) -> None:
        """A point between two effects, named by what comes next. Raises ProcessEnded when this is where it dies."""
        if self.doom is not None and self.doom.comes(point):
            raise ProcessEnded(f"{KILLED} before {point}")

    def ended(self, reason: str) -> None:
        """The process is gone; it comes back after a while."""
        if not self.alive:
            return
        self.doom = None
        self.life += 1
        self.alive = False
        self.frozen_until_ms = 0
        self.died()
        self.scene.story.ended(self.name, reason)
        self.clock.after(max(1, self.restart_after_ms), self, self._restart)

    def _restart(self) -> None:
        if not self.alive:
            self.start()
