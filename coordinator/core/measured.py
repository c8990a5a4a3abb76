"""What sites measured of the newest version, and what follows from it: progress, and whether the study ends.

Never:    believes one site alone: see protocol.judging.
"""

from dataclasses import dataclass

from coordinator.core.events import Evaluated
from coordinator.strategies.stopping import Progress, stop_after
from protocol.judging import judge, summary_of
from schemas.plan import Plan
from schemas.records import SITES_MAX, Stop, Summary


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the Announcement of the next version says of the one before, and the progress after it."""

    evaluations: tuple[tuple[str, bytes], ...]  # (site, digest)
    progress: Progress
    stop: Stop
    summary: Summary | None


class Measurements:
    """`progress` is that of the versions announced so far."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.progress = progress
        self._plan = plan
        self._by_site: dict[str, Evaluated] = {}

    def take(self, told: Evaluated) -> None:
        """A site measured the newest version."""
        self._by_site[told.site] = told

    def forget(self, site: str) -> None:
        """The site's word does not count any more."""
        self._by_site.pop(site, None)

    def all(self) -> list[Evaluated]:
        """Those of the newest version, by site."""
        return [self._by_site[site] for site in sorted(self._by_site)]

    def verdict(self, version: int) -> Verdict:
        """By those evaluations that the Announcement of `version` lists: a successor comes to the same."""
        listed = self.all()[:SITES_MAX]
        judgement = judge(self._plan, {one.site: (one.value, one.weight) for one in listed})
        progress = self.progress.after(judgement, higher_is_better=self._plan.evaluation.higher_is_better)
        stop = stop_after(self._plan, version=version, progress=progress, judgement=judgement)
        return Verdict(tuple((one.site, one.digest) for one in listed), progress, stop, summary_of(judgement))

    def announced(self, progress: Progress) -> None:
        """The next version is there: nobody has measured it yet."""
        self.progress = progress
        self._by_site.clear()
