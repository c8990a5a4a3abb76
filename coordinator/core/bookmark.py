"""What spares a successor the reading: up to where each site's offers are decided, and what was read of evaluations.

Knows:    a bookmark says what is true of the log for ever; an older one, or that of a coordinator which was overtaken
          meanwhile, only makes a successor read more.
Never:    passes an offer that waits, or whose receipt is not on the log yet.
Imports:  stdlib, schemas, coordinator.strategies.
Source:   docs/decisions/0030.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from coordinator.core.events import Evaluated
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress
from protocol.judging import judge
from schemas.plan import Plan
from schemas.records import MEMBERS_MAX, SITES_MAX, Measured, Memory

Listed = tuple[int, tuple[tuple[str, bytes], ...]]  # a version, and the evaluations that its Announcement lists


@dataclass(frozen=True, slots=True)
class Marked:
    """A bookmark, opened: see schemas.records.Bookmark."""

    study: str
    plan: bytes
    version: int
    positions: tuple[tuple[str, int], ...]
    memory: Memory = field(default_factory=Memory)

    @property
    def progress(self) -> Progress:
        """Best values so far; how patient the study is stands in the Announcement."""
        return Progress(self.memory.best, 0, dict(self.memory.without))


def bookmark_of(
    core: StudyCore, former: Mapping[str, int], heard: Mapping[str, int], unsettled: Container[str]
) -> Marked:
    """What holds now that `core` has taken everything before the offsets `heard`.

    former      positions of the bookmark before: sites that are not in `heard` keep theirs
    unsettled   sites with a receipt that is decided and not on the log yet: they do not go forward
    """
    positions = dict(former)
    for site, offset in heard.items():
        position = core.unread_from(site, offset)
        positions[site] = min(position, former.get(site, 0)) if site in unsettled else position
    marks = tuple(sorted(positions.items())[:MEMBERS_MAX])
    return Marked(core.plan.study, core.plan.digest, core.version, marks, _memory_of(core))


def _memory_of(core: StudyCore) -> Memory:
    measured = [Measured(one.site, one.digest, one.value, one.weight) for one in core.evaluations()]
    progress = core.progress if core.plan.stop.patience else Progress()
    without = tuple(sorted(progress.without.items())[:MEMBERS_MAX])
    return Memory(progress.best, without, tuple(measured[:SITES_MAX]))


def remembered(bookmark: Marked | None, version: int, model: bytes) -> list[Evaluated]:
    """The evaluations of the newest version that a successor need not read."""
    if bookmark is None or bookmark.version != version:
        return []
    return [
        Evaluated(one.site, version, model, one.digest, one.value, one.weight) for one in bookmark.memory.evaluations
    ]


def wanted(bookmark: Marked | None, listed: Iterable[Listed]) -> dict[bytes, str]:
    """Digest -> site of each evaluation that progress follows from, and that the bookmark does not hold."""
    known = {one.digest for one in bookmark.memory.evaluations} if bookmark is not None else set()
    return {
        digest: site
        for _, evaluations in _since(bookmark, listed)
        for site, digest in evaluations
        if digest not in known
    }


def progress_after(
    bookmark: Marked | None, listed: Iterable[Listed], found: Mapping[bytes, tuple[float, float]], plan: Plan
) -> Progress:
    """Best values, from what the bookmark knows and what was announced since; `found` by digest as (value, weight)."""
    known = dict(found)
    if bookmark is not None:
        known |= {one.digest: (one.value, one.weight) for one in bookmark.memory.evaluations}
    progress = bookmark.progress if bookmark is not None else Progress()
    for _, evaluations in _since(bookmark, listed):
        judgement = judge(plan, {site: known[digest] for site, digest in evaluations if digest in known})
        progress = progress.after(judgement, higher_is_better=plan.evaluation.higher_is_better)
    return progress


def _since(bookmark: Marked | None, listed: Iterable[Listed]) -> Sequence[Listed]:
    return [one for one in listed if bookmark is None or one[0] > bookmark.version]
