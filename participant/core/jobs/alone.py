"""The local baseline: what this site's patients give alone, in whatever time learning leaves."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.jobs.job import Ground, Job, Next
from participant.core.pauses import TRIES_MAX
from participant.core.restored import Restored


class Alone(Job):
    """It may be stopped at any time, and as often as a version comes: what was done of it is kept."""

    kind = "alone"
    fails = "the local baseline has failed"
    to_do = "the warnings above say why; without it this site is missing where models trained alone are compared"
    hears = (seen.AloneEnded,)
    gives_way = True
    is_minor = True
    goes_along = True

    def __init__(self, ground: Ground, restored: Restored) -> None:
        super().__init__(ground, restored)
        self._done = restored.alone_done or not ground.plan.evaluation.alone

    def announced(self, before: seen.Announced | None, now: seen.Announced) -> None:
        if now.final and not (before is not None and before.final):
            self._pauses.passed(self.kind)  # what would not stop when it was asked to may now come to its end

    def is_wanted(self) -> bool:
        return not (self._done or self._ground.nobody) and self._pauses.failures(self.kind) < TRIES_MAX

    def begin_aside(self, now_ms: int) -> Effect | None:
        """In a quiet moment after the first update, or when the study is over."""
        if not self.is_wanted() or not self._pauses.over(self.kind, now_ms):
            return None
        return do.RunAlone() if self._ground.final or self._is_quiet(now_ms) else None

    def ended(self, event: Event, now_ms: int) -> Next | None:
        if isinstance(event, seen.AloneEnded):
            self._done = event.done
            if not event.done:
                self._pauses.failed(self.kind, now_ms, took_ms=event.took_ms)
        return None

    def _is_quiet(self, now_ms: int) -> bool:
        newest, others = self._ground.newest, [job for job in self._ground.jobs if not job.gives_way]
        assert newest is not None
        return bool(self._ground.trained) and not any(job.presses(newest.version, now_ms) for job in others)
