"""What is said of progress: an Announcement follows from the evaluations that it lists, and from no single site.

Knows:    every evaluation on the log, and which of them a liar sent.
"""

import math

from coordinator.core.bookmark import Marked
from coordinator.core.events import Evaluated
from coordinator.strategies.stopping import Progress
from protocol.judging import judge
from schemas.plan import Plan
from schemas.records import Announcement, Stop
from simulation.hostile import ROGUE
from simulation.log import Log
from simulation.verdict import Broken


class JudgedChecks:
    """Patience, best value and the stop rule's verdict, as anybody can follow them on the log."""

    def __init__(self, plan: Plan, log: Log) -> None:
        self._plan, self._log = plan, log
        self.evaluations: dict[bytes, Evaluated] = {}  # by digest
        self._progress = Progress()
        self._honest_best, self._risen = -math.inf, 0  # of those who do not lie, and the last version that beat it
        self._bests: dict[int, float | None] = {}  # by version

    def announced(self, announced: Announcement) -> None:
        """A version that was made of a Request."""
        self._patience(announced)
        self._word(announced)

    def bookmarked(self, bookmark: Marked) -> None:
        known = self._bests.get(bookmark.version, bookmark.memory.best)
        if self._plan.stop.patience and self._retained() and bookmark.memory.best != known:
            raise Broken(
                "patience", f"a bookmark at version {bookmark.version} says {bookmark.memory.best}, not {known}"
            )

    def _patience(self, announced: Announcement) -> None:
        """What an Announcement says of progress follows from the evaluations that all of them list."""
        if not self._plan.stop.patience or not self._retained():
            return
        used = [self.evaluations[digest] for _, digest in announced.evaluations]
        judgement = judge(self._plan, {fact.site: (fact.value, fact.weight) for fact in used})
        higher = self._plan.evaluation.higher_is_better
        self._progress = self._progress.after(judgement, higher_is_better=higher)
        self._bests[announced.version] = self._progress.best
        if announced.patience != self._progress.patience:
            raise Broken("patience", f"version {announced.version} says {announced.patience}, not {self._progress}")

    def _word(self, announced: Announcement) -> None:
        """No study ends by its target, or for want of progress, against the word of all but one."""
        told = [self.evaluations[digest] for _, digest in announced.evaluations]
        values = [fact.value for fact in told if fact.site != ROGUE]
        if len(values) > 1 and min(values) > self._honest_best:
            self._risen = announced.version
        self._honest_best = max([self._honest_best, *values])
        target, patience = self._plan.stop.target, self._plan.stop.patience
        if announced.stop == Stop.TARGET and target is not None and self._honest_best < target:
            raise Broken("one-word", f"version {announced.version} says {target} is reached; {values} were measured")
        if announced.stop == Stop.PATIENCE and announced.version - self._risen < patience:
            raise Broken("one-word", f"no progress by version {announced.version}, there was some at {self._risen}")

    def _retained(self) -> bool:
        """Evaluations that retention took cannot be read again."""
        return not any(topic.start or topic.renewed for topic in self._log.offers.values())
