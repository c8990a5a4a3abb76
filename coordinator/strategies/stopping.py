"""When a study ends, from what stands on the log: versions reached, patience, target.

Knows:    what the sites say together of the version that ends, and what they say without each of them. A study ends by
          their word only where it would end without any single one of them, too.
Source:   docs/decisions/0042.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.judging import Judgement
from schemas.plan import Plan
from schemas.records import Stop


@dataclass(frozen=True, slots=True)
class Progress:
    """Best values so far, and for how many versions none of them was beaten.

    best      of all sites together
    without   of all but one, by that one; who never said anything is not named, and has `best`
    """

    best: float | None = None
    patience: int = 0
    without: Mapping[str, float] = field(default_factory=dict)

    def after(self, judgement: Judgement, *, higher_is_better: bool) -> "Progress":
        """The progress once a version is judged; of an unknown value there is no judgement.

        It is progress if it is without any one of the sites: so none can hide that of the others behind its own word.
        """
        if judgement.whole is None:
            return self
        known = {site: self._before(site) for site in sorted({*self.without, *judgement.without})}
        now = {site: _better_of(judgement.of(site), best, higher_is_better) for site, best in known.items()}
        best = _better_of(judgement.whole, self.best, higher_is_better)
        better = best != self.best or any(now[site] != known[site] for site in now)
        without = {site: value for site, value in now.items() if value is not None}
        return Progress(best, 0 if better else self.patience + 1, without)

    def _before(self, site: str) -> float | None:
        return self.without.get(site, self.best)


def _better_of(value: float | None, best: float | None, higher_is_better: bool) -> float | None:
    if value is None or best is None:
        return best if value is None else value
    return max(value, best) if higher_is_better else min(value, best)


def stop_after(plan: Plan, *, version: int, progress: Progress, judgement: Judgement) -> Stop:
    """Whether announcing `version` ends the study, given the progress and the judgement of the version before."""
    rule = plan.stop
    if version >= rule.versions:
        return Stop.VERSIONS
    if rule.target is not None and _reached(judgement, rule.target, higher_is_better=plan.evaluation.higher_is_better):
        return Stop.TARGET
    if rule.patience and progress.patience >= rule.patience:
        return Stop.PATIENCE
    return Stop.NONE


def _reached(judgement: Judgement, target: float, *, higher_is_better: bool) -> bool:
    """Whether all together are there, and all but any one of them."""
    values = [judgement.whole, *judgement.without.values()]
    return all(value is not None and (value >= target if higher_is_better else value <= target) for value in values)
