"""What spares a successor the reading: up to where each site's offers are decided, and what was read of evaluations.

Knows:    a bookmark says what is true of the log for ever; an older one, or that of a coordinator which was overtaken
          meanwhile, only makes a successor read more.
Never:    passes an offer that waits, or whose receipt is not on the log yet.
Imports:  stdlib, schemas, coordinator.strategies.   Used by: coordinator.shell, the simulator, tests.
Source:   docs/decisions/0030.
"""

from collections.abc import Container, Iterable, Mapping, Sequence

from coordinator.core.events import Evaluated
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress, overall
from schemas.plan import Plan
from schemas.records import POSITIONS_MAX, SITES_MAX, Bookmark, Measured

Listed = tuple[int, tuple[tuple[str, bytes], ...]]  # a version, and the evaluations that its Announcement lists


def bookmark_of(
    core: StudyCore, former: Mapping[str, int], heard: Mapping[str, int], unsettled: Container[str]
) -> Bookmark:
    """What holds now that `core` has taken everything before the offsets `heard`.

    former      positions of the bookmark before: sites that are not in `heard` keep theirs
    unsettled   sites with a receipt that is decided and not on the log yet: they do not go forward
    """
    positions = dict(former)
    for site, offset in heard.items():
        position = core.unread_from(site, offset)
        positions[site] = min(position, former.get(site, 0)) if site in unsettled else position
    measured = [Measured(one.site, one.digest, one.value, one.weight) for one in core.evaluations()]
    return Bookmark(
        study=core.plan.study,
        plan=core.plan.digest,
        version=core.version,
        best=core.progress.best if core.plan.stop.patience else None,
        positions=tuple(sorted(positions.items())[:POSITIONS_MAX]),
        evaluations=tuple(measured[:SITES_MAX]),
    )


def remembered(bookmark: Bookmark | None, version: int, model: bytes) -> list[Evaluated]:
    """The evaluations of the newest version that a successor need not read."""
    if bookmark is None or bookmark.version != version:
        return []
    return [Evaluated(one.site, version, model, one.digest, one.value, one.weight) for one in bookmark.evaluations]


def wanted(bookmark: Bookmark | None, listed: Iterable[Listed]) -> dict[bytes, str]:
    """Digest -> site of each evaluation that progress follows from, and that the bookmark does not hold."""
    known = {one.digest for one in bookmark.evaluations} if bookmark is not None else set()
    return {
        digest: site
        for _, evaluations in _since(bookmark, listed)
        for site, digest in evaluations
        if digest not in known
    }


def progress_after(
    bookmark: Bookmark | None, listed: Iterable[Listed], found: Mapping[bytes, tuple[int, int]], plan: Plan
) -> Progress:
    """Best value, from what the bookmark knows and what was announced since; `found` by digest as (value, weight)."""
    known = dict(found)
    if bookmark is not None:
        known |= {one.digest: (one.value, one.weight) for one in bookmark.evaluations}
    progress = Progress(bookmark.best if bookmark is not None else None)
    for _, evaluations in _since(bookmark, listed):
        value = overall(known[digest] for _, digest in evaluations if digest in known)
        progress = progress.after(value, higher_is_better=plan.evaluation.higher_is_better)
    return progress


def _since(bookmark: Bookmark | None, listed: Iterable[Listed]) -> Sequence[Listed]:
    return [one for one in listed if bookmark is None or one[0] > bookmark.version]
