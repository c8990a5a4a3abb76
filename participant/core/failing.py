"""The one rule for whatever fails at a site: it is tried again with pauses that grow, named, counted, and said once.

Knows:    what fails in a study, by the pauses of its core; what to do about each kind.
Never:    ends anything: other work goes on, and what comes off ends the matter.
"""

from collections.abc import Mapping

from participant.core.effects import Alarm
from participant.core.jobs import JOBS
from participant.core.pauses import TRIES_MAX, Pauses

FAILS: Mapping[str, str] = {  # kind of work -> what is said of it
    "fetch": "fetching the newest version has failed",
    **{job.kind: job.fails for job in JOBS},
    "send": "sending a finished update has failed",
    "refused": "updates have been refused or were void",
}
_TO_DO: Mapping[str, str] = {
    "fetch": "the warnings above say why: a full disk here, or a version that is missing or damaged on the broker",
    **{job.kind: job.to_do for job in JOBS},
    "send": "the warnings above say why: a missing topic or a right comes from whoever looks after Kafka",
    "refused": "the code of the last one says why; ask the federation's operator",
}
_AGAIN = ", and is tried again with growing pauses"
_MINOR = frozenset(job.kind for job in JOBS if job.is_minor)


class Failing:
    """What fails now in one study, and what of it has been said."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._said: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        """Failures in a row by kind, for those that are known here."""
        return {kind: self._pauses.failures(kind) for kind in FAILS}

    @property
    def at_all(self) -> bool:
        """Whether something failed the last time it was tried."""
        return not self._pauses.calm and any(count for kind, count in self.counts.items() if kind not in _MINOR)

    @property
    def reasons(self) -> list[str]:
        """What has failed so often in a row that people have to know."""
        if self._pauses.calm:
            return []
        return [
            f"{FAILS[kind]} {TRIES_MAX} times in a row or more"
            for kind, count in self.counts.items()
            if count >= TRIES_MAX and kind not in _MINOR
        ]

    def alarms(self) -> list[Alarm]:
        """What people have to be told now: once for each row of failures."""
        if self._pauses.calm and not self._said:
            return []
        bad = {kind for kind, count in self.counts.items() if count >= TRIES_MAX}
        new, self._said = bad - self._said, bad
        return [
            Alarm(
                f"{FAILS[kind]} {TRIES_MAX} times in a row{_AGAIN * (kind not in _MINOR)}; {_TO_DO[kind]}", fails=True
            )
            for kind in FAILS
            if kind in new
        ]
