"""The one rule for whatever fails at a site: it is tried again with pauses that grow, named, counted, and said once.

Knows:    what fails in a study, by the pauses of its core; what to do about each kind.
Never:    ends anything: other work goes on, and what comes off ends the matter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from participant.core.effects import Alarm
from participant.core.jobs.job import Job
from participant.core.pauses import TRIES_MAX, Pauses

_AGAIN = ", and is tried again with growing pauses"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work that may fail: what is said of it, what to do about it, and whether anything waits for it."""

    fails: str
    to_do: str
    is_minor: bool = False


def kinds_of(jobs: Iterable[type[Job]]) -> Mapping[str, Kind]:
    """Whatever may fail at a site: what lies between its jobs, and the jobs themselves."""
    return {
        "fetch": Kind(
            "fetching the newest version has failed",
            "the warnings above say why: a full disk here, or a version that is missing or damaged on the broker",
        ),
        **{job.kind: Kind(job.fails, job.to_do, job.is_minor) for job in jobs},
        "send": Kind(
            "sending a finished update has failed",
            "the warnings above say why: a missing topic or a right comes from whoever looks after Kafka",
        ),
        "refused": Kind(
            "updates have been refused or were void",
            "the code of the last one says why; ask the federation's operator",
        ),
    }


class Failing:
    """What fails now in one study, and what of it has been said."""

    def __init__(self, pauses: Pauses, jobs: Iterable[type[Job]]) -> None:
        self._pauses, self._kinds = pauses, kinds_of(jobs)
        self._said: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        """Failures in a row by kind, for those that are known here."""
        return {kind: self._pauses.failures(kind) for kind in self._kinds}

    @property
    def at_all(self) -> bool:
        """Whether something failed the last time it was tried."""
        return not self._pauses.calm and any(self._pauses.failures(kind) for kind in self._grave())

    @property
    def reasons(self) -> list[str]:
        """What has failed so often in a row that people have to know."""
        if self._pauses.calm:
            return []
        bad = [kind for kind in self._grave() if self._pauses.failures(kind) >= TRIES_MAX]
        return [f"{self._kinds[kind].fails} {TRIES_MAX} times in a row or more" for kind in bad]

    def alarms(self) -> list[Alarm]:
        """What people have to be told now: once for each row of failures."""
        if self._pauses.calm and not self._said:
            return []
        bad = {kind for kind, count in self.counts.items() if count >= TRIES_MAX}
        new, self._said = bad - self._said, bad
        return [_alarm(one) for kind, one in self._kinds.items() if kind in new]

    def _grave(self) -> list[str]:
        return [kind for kind, one in self._kinds.items() if not one.is_minor]


def _alarm(one: Kind) -> Alarm:
    again = "" if one.is_minor else _AGAIN
    return Alarm(f"{one.fails} {TRIES_MAX} times in a row{again}; {one.to_do}", fails=True)
