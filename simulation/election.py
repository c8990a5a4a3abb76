"""`wardround.lead`: which of the living coordinators leads, and how late the others hear of it.

Knows:    that a group promises nothing but one member a partition, sooner or later: two may believe they lead.
"""

from abc import abstractmethod

from simulation.process import Process
from simulation.scene import Scene

HEARD_MS = 5_000


class Candidate(Process):
    """A coordinator, as far as its group knows it."""

    @abstractmethod
    def lead(self) -> None:
        """It was elected."""

    @abstractmethod
    def stand_by(self) -> None:
        """Another one leads, and it hears of that."""


class Election:
    """The group of coordinators. The fence of the log, not this, keeps two leaders apart."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.leader: Candidate | None = None
        self._candidates: list[Candidate] = []
        self.life = self.frozen_until_ms = 0

    def ended(self, reason: str) -> None:
        raise AssertionError(reason)

    def joined(self, node: Candidate) -> None:
        """A coordinator is up and may be elected."""
        if node.alive and node not in self._candidates:
            self._candidates.append(node)
        self._scene.clock.after(0, self, self._elect)

    def left(self, node: Candidate) -> None:
        """A coordinator is gone, or was not heard of for a session: another one is elected after a while."""
        if node in self._candidates:
            self._candidates.remove(node)
        if self.leader is node:
            self.leader = None
            self._scene.clock.after(self._scene.costs.election_ms, self, self._elect)

    def move(self) -> None:
        """The lead goes to another one; the former leader hears of it later, or from the fence alone."""
        others = [node for node in self._candidates if node is not self.leader]
        if not others:
            return
        former, self.leader = self.leader, others[0]
        self.leader.lead()
        if former is not None and former.random.random() < 0.5:
            self._candidates.remove(former)
            self._scene.clock.after(former.random.randrange(1, HEARD_MS), former, former.stand_by)

    def freeze(self, node: Candidate, length_ms: int) -> None:
        """A process stands still (SIGSTOP, a machine asleep), loses its session, and comes back believing it leads."""
        if not node.alive:
            return
        clock = self._scene.clock
        node.frozen_until_ms = clock.now_ms + length_ms
        if length_ms > self._scene.costs.election_ms:
            clock.after(self._scene.costs.election_ms, self, self._session_lost, node, node.life)

    def _session_lost(self, node: Candidate, life: int) -> None:
        if node.life == life and node.alive:
            self.left(node)
            thaws_ms = node.frozen_until_ms + node.random.randrange(1, HEARD_MS)
            self._scene.clock.at(thaws_ms, node, node.stand_by)

    def _elect(self) -> None:
        if self.leader is None and self._candidates:
            self.leader = self._candidates[0]
            self.leader.lead()
