"""Measure a version on the test patients; training does not wait for one that failed."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.jobs.job import Ground, Job, Next
from participant.core.restored import Restored


class Evaluation(Job):
    """Every so many versions, as the plan says, and of the last one."""

    kind = "evaluate"
    fails = "measuring versions has failed"
    to_do = "the warnings above say why; versions are trained from all the same"
    hears = (seen.Evaluated, seen.EvaluationFailed)

    def __init__(self, ground: Ground, restored: Restored) -> None:
        super().__init__(ground, restored)
        self._evaluated = restored.evaluated  # the highest version measured

    def version_of(self, event: Event) -> int | None:
        assert isinstance(event, seen.Evaluated | seen.EvaluationFailed)
        return event.version

    def announced(self, before: seen.Announced | None, now: seen.Announced) -> None:
        """The last version is measured once more where it was not told with it: baseline and interval go with it."""
        if now.final and not (before is not None and before.final) and (before is not None or self._waits()):
            self._evaluated = min(self._evaluated, now.version - 1)

    def wants(self, version: int) -> bool:
        final = self._ground.newest == seen.Announced(version, True)
        return version > self._evaluated and (final or version % self._ground.plan.evaluation.every == 0)

    def presses(self, version: int, now_ms: int) -> bool:
        return self.wants(version) and self._pauses.over(self.kind, now_ms)

    def begin(self, version: int, now_ms: int) -> Effect | None:
        """The last one carries the local baseline, and waits for it."""
        may = self.presses(version, now_ms) and not (self._ground.final and self._waits())
        return do.Evaluate(version) if may else None

    def ended(self, event: Event, now_ms: int) -> Next | None:
        if isinstance(event, seen.EvaluationFailed):
            self._pauses.failed(self.kind, now_ms, took_ms=event.took_ms)
        elif isinstance(event, seen.Evaluated):
            self._pauses.passed(self.kind)
            self._evaluated = max(self._evaluated, event.version)
        return None

    def _waits(self) -> bool:
        return any(job.goes_along and job.is_wanted() for job in self._ground.jobs)
