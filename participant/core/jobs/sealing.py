"""Put what was trained into the outbox, whatever else is held: it is tried until there is a place for it."""

from participant.core import absence
from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.jobs.job import Ground, Job, Next


class Sealing(Job):
    """Begun by Training alone; the update's file waits as long as it has to."""

    kind = "seal"
    fails = "storing a finished update has failed"
    to_do = "free space on the disk of the data folder; the finished update is kept and waits"
    hears = (seen.Sealed, seen.SealFailed)
    makes_update = True
    runs_through = True

    def version_of(self, event: Event) -> int | None:
        assert isinstance(event, seen.Sealed | seen.SealFailed)
        return event.base_version

    def again(self, version: int, now_ms: int) -> Effect | None:
        return seal(self._ground, version) if self._pauses.ends(self.kind, now_ms) else None

    def ended(self, event: Event, now_ms: int) -> Next | None:
        if isinstance(event, seen.SealFailed):
            self._pauses.failed(self.kind, now_ms)
            return Next(self.kind)
        if isinstance(event, seen.Sealed):
            self._pauses.passed(self.kind)
            self._ground.trained[event.base_version] = event.sequence
        return None


def seal(ground: Ground, base_version: int) -> do.Seal:
    """What puts the update from this version into the outbox."""
    return do.Seal(base_version, absence.stands_for(base_version, ground.counted))
