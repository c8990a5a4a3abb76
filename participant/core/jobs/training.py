"""Train from a version: once, unless that update was void, or refused for a reason that training again can heal."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.jobs.job import Ground, Job, Next
from participant.core.jobs.sealing import Sealing, seal
from participant.core.restored import Restored


class Training(Job):
    """What it makes is sealed at once."""

    kind = "train"
    fails = "training has failed"
    to_do = "the warnings above say why: ask the task's author, or give the trainer more memory"
    hears = (seen.Trained, seen.TrainingFailed)
    makes_update = True

    def __init__(self, ground: Ground, restored: Restored) -> None:
        super().__init__(ground, restored)
        self._attempt = 0
        self._barren: int | None = None  # no update comes from this version: its training gave numbers that are none

    def version_of(self, event: Event) -> int | None:
        assert isinstance(event, seen.Trained | seen.TrainingFailed)
        return event.base_version

    def announced(self, before: seen.Announced | None, now: seen.Announced) -> None:
        if now.final and not (before is not None and before.final):
            self._pauses.passed(self.kind)  # nothing is trained any more, and what is still out is refused as final
            self._pauses.passed("refused")
        if before is None or now.version > before.version:
            self._attempt = 0

    def wants(self, version: int) -> bool:
        return not (
            self._ground.final or self._ground.nobody or version in self._ground.trained or version == self._barren
        )

    def begin(self, version: int, now_ms: int) -> Effect | None:
        may = self.wants(version) and not self._ground.late(version) and self._pauses.over(self.kind, now_ms)
        return do.Train(version, self._attempt) if may else None

    def pointless(self, version: int) -> bool:
        return self._ground.late(version)

    def ended(self, event: Event, now_ms: int) -> Next | None:
        """After a failure it goes on with longer and longer pauses: other studies have the trainer meanwhile."""
        if isinstance(event, seen.Trained):
            self._pauses.passed(self.kind)
            return Next(Sealing.kind, seal(self._ground, event.base_version))
        if isinstance(event, seen.TrainingFailed):
            self._failed(event, now_ms)
        return None

    def free(self, base_version: int, sequence: int) -> None:
        """Train from this version once more, unless that was done since update `sequence`."""
        if self._ground.trained.get(base_version) == sequence:
            del self._ground.trained[base_version]
            self._attempt += 1

    def _failed(self, event: seen.TrainingFailed, now_ms: int) -> None:
        if not event.ever:
            self._ground.nobody = True
            return
        self._pauses.failed(self.kind, now_ms, took_ms=event.took_ms)
        self._attempt += 1
        self._barren = self._barren if event.again else event.base_version
