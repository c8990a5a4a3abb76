"""`wardround.lead`: which of the living coordinators leads, and how late the others hear of it.

Knows:    that a group promises nothing but one member a partition, sooner or later: two may believe they lead.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.coordinator import Coordinator
    from simulation.world import World

HEARD_MS = 5_000


class Election:
    """The group of coordinators. The fence of the log, not this, keeps two leaders apart."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.leader: Coordinator | None = None
        self._candidates: list[Coordinator] = []
        self.life = self.frozen_until_ms = 0

    def ended(self, reason: str) -> None:
        raise AssertionError(reason)

    def joined(self, node: "Coordinator") -> None:
        """A coordinator is up and may be elected."""
        if node.alive and node not in self._candidates:
            self._candidates.append(node)
        self._world.clock.after(0, self, self._elect)

    def left(self, node: "Coordinator") -> None:
        """A coordinator is gone, or was not heard of for a session: another one is elected after a while."""
        if node in self._candidates:
            self._candidates.remove(node)
        if self.leader is node:
            self.leader = None
            self._world.clock.after(self._world.costs.election_ms, self, self._elect)

    def move(self) -> None:
        """The lead goes to another one; the former leader hears of it later, or from the fence alone."""
        others = [node for node in self._candidates if node is not self.leader]
        if not others:
            return
        former, self.leader = self.leader, others[0]
        self.leader.lead()
        if former is not None and former.random.random() < 0.5:
            self._candidates.remove(former)
            self._world.clock.after(former.random.randrange(1, HEARD_MS), former, former.stand_by)

    def freeze(self, node: "Coordinator", length_ms: int) -> None:
        """A process stands still (SIGSTOP, a machine asleep), loses its session, and comes back believing it leads."""
        if not node.alive:
            return
        clock = self._world.clock
        node.frozen_until_ms = clock.now_ms + length_ms
        if length_ms > self._world.costs.election_ms:
            clock.after(self._world.costs.election_ms, self, self._session_lost, node, node.life)

    def _session_lost(self, node: "Coordinator", life: int) -> None:
        if node.life == life and node.alive:
            self.left(node)
            thaws_ms = node.frozen_until_ms + node.random.randrange(1, HEARD_MS)
            self._world.clock.at(thaws_ms, node, node.stand_by)

    def _elect(self) -> None:
        if self.leader is None and self._candidates:
            self.leader = self._candidates[0]
            self.leader.lead()
