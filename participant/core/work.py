"""What a site works on in one study, and with which version: a fetch, and one job.

Knows:    the newest version, what was fetched, and what is being worked on; the jobs are participant.core.jobs.
Never:    decides what becomes of an update in the outbox, or whether the site may work at all: it is asked when it may.

Only the newest version is ever fetched. Once fetched it is measured and trained from, even when a newer one appears
meanwhile: over a slow link there would always be a newer one. Jobs go before each other in the order of the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.jobs.job import Ground, Job
from participant.core.jobs.training import Training
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from schemas.plan import Plan


@dataclass(frozen=True, slots=True)
class _At:
    """What is being worked on."""

    job: Job
    version: int


class Work:
    """One fetch and one job at most. What a method returns has to be done in order; `now_ms` never falls."""

    def __init__(self, plan: Plan, pauses: Pauses, restored: Restored, jobs: Iterable[type[Job]]) -> None:
        """`jobs` in the order in which they go before each other."""
        self._pauses = pauses
        self._ground = Ground(plan, pauses, restored.counted, dict(restored.trained))
        self._jobs = self._ground.jobs = tuple(job(self._ground, restored) for job in jobs)
        self.fetching: int | None = None
        self._at: _At | None = None
        self._model: int | None = None  # the version in the file
        self._fresh: int | None = None  # fetched just now: to be worked on although a newer one may be out

    @property
    def newest(self) -> seen.Announced | None:
        return self._ground.newest

    @property
    def final(self) -> bool:
        """Whether the newest version is the study's last."""
        return self._ground.final

    @property
    def at_work(self) -> bool:
        """Whether the trainer, or the sealing, is at something."""
        return self._at is not None

    @property
    def busy(self) -> bool:
        """Whether something is at work that is not put aside for anything else; the local baseline is."""
        return self._at is not None and not self._at.job.gives_way

    @property
    def making(self) -> bool:
        """Whether an update is being made that the outbox will have to take."""
        return self._at is not None and self._at.job.makes_update

    @property
    def waits_to_seal(self) -> bool:
        """Whether a finished update waits for its place in the outbox after a failure."""
        return self._at is not None and self._at.job.runs_through and bool(self._pauses.failures(self._at.job.kind))

    def late(self, base_version: int) -> bool:
        """Whether an update from this version, not offered yet, can never count."""
        return self._ground.late(base_version)

    # -- facts

    def announced(self, event: seen.Announced) -> None:
        """Note the newest version; an older announcement says nothing."""
        before, ground = self._ground.newest, self._ground
        if before is not None and event.version < before.version:
            return
        for job in reversed(self._jobs):  # the last one first: what goes along with an evaluation is known to it then
            job.announced(before, event)
        if before is None or event.version > before.version:
            self._pauses.hurry("fetch")
        ground.newest = event
        oldest = event.version - ground.plan.aggregation.staleness_max
        for base in [base for base in ground.trained if base < oldest]:
            del ground.trained[base]

    def fetched(self, event: seen.Fetched | seen.FetchFailed, now_ms: int) -> None:
        """Note how a fetch ended; nothing for one that was stopped."""
        if event.version != self.fetching:
            return
        self.fetching = None
        if isinstance(event, seen.Fetched):
            self._model = self._fresh = event.version
            self._pauses.passed("fetch")
        else:
            self._pauses.failed("fetch", now_ms)

    def hears(self, event: Event) -> bool:
        """Whether a job ends with such an event."""
        return any(type(event) in job.hears for job in self._jobs)

    def is_at(self, event: Event) -> bool:
        """Whether the event is about what is being worked on; nothing is heard of what was stopped."""
        at = self._at
        return at is not None and type(event) in at.job.hears and at.job.version_of(event) in (None, at.version)

    def worked(self, event: Event, now_ms: int) -> list[Effect]:
        """Note how a job ended. What was trained is sealed at once."""
        if not self.is_at(event):
            return []
        assert self._at is not None
        version, following = self._at.version, self._at.job.ended(event, now_ms)
        if following is None:
            self._at = None
            return []
        self._at = _At(next(job for job in self._jobs if job.kind == following.kind), version)
        return [following.effect] if following.effect is not None else []

    def counted(self) -> None:
        """An update of this site counts."""
        self._ground.counted += 1

    def free(self, base_version: int, sequence: int) -> None:
        """Train from this version once more, unless that was done since update `sequence`."""
        for job in self._jobs:
            if isinstance(job, Training):
                job.free(base_version, sequence)

    # -- what follows

    def again(self, now_ms: int) -> list[Effect]:
        """What is at work and paused begins once more, whatever else is held."""
        effect = self._at.job.again(self._at.version, now_ms) if self._at is not None else None
        return [effect] if effect is not None else []

    def abandon(self, newest: seen.Announced) -> list[Effect]:
        """Stop what can no longer count: past the plan's table, or in a study that is over."""
        effects: list[Effect] = []
        needed = newest.final and self.fetching == newest.version
        if self.fetching is not None and self.late(self.fetching) and not needed:
            effects += self._stop_fetching()
        if self._at is not None and self._at.job.pointless(self._at.version):
            effects += self._stop_job()
        return effects

    def go_on(self, newest: seen.Announced, now_ms: int, *, room: bool, linked: bool) -> list[Effect]:
        """Begin what may be begun.

        room     whether the outbox may take one more update
        linked   whether the broker answers
        """
        effects = [] if self.busy else self._begin(newest, now_ms, room)
        if linked and self._may_fetch(newest, now_ms, room):
            self.fetching = newest.version
            effects.append(do.Fetch(newest.version))
        return effects

    def catch_up(self) -> list[Effect]:
        """After a long absence the newest version is worth more than an older one whose fetch was begun."""
        newest = self._ground.newest
        if newest is None or self.fetching is None or self.fetching >= newest.version:
            return []
        return self._stop_fetching()

    def stop(self) -> list[Effect]:
        """Stop what can be had again; who goes on later, goes on with the version that is the newest then."""
        self._fresh = None
        return [*self._stop_fetching(), *self._stop_job()]

    def _begin(self, newest: seen.Announced, now_ms: int, room: bool) -> list[Effect]:
        version = self._model
        if version is not None and version in (newest.version, self._fresh):
            for job in self._jobs:
                effect = job.begin(version, now_ms) if room or not job.makes_update else None
                if effect is not None:
                    stopped, self._at = self._stop_job(), _At(job, version)
                    return [*stopped, effect]
        self._fresh = None
        return [] if self._at is not None else self._begin_aside(now_ms)

    def _begin_aside(self, now_ms: int) -> list[Effect]:
        for job in self._jobs:
            if (effect := job.begin_aside(now_ms)) is not None:
                self._at = _At(job, 0)
                return [effect]
        return []

    def _may_fetch(self, newest: seen.Announced, now_ms: int, room: bool) -> bool:
        if self.busy or self.fetching is not None or not self._pauses.over("fetch", now_ms):
            return False
        if self._model == newest.version or self._fresh is not None:
            return False
        return any(job.wants(newest.version) and (room or not job.makes_update) for job in self._jobs)

    def _stop_fetching(self) -> list[Effect]:
        version, self.fetching = self.fetching, None
        return [] if version is None else [do.StopFetching(version)]

    def _stop_job(self) -> list[Effect]:
        if self._at is None or self._at.job.runs_through:
            return []
        self._at = None
        return [do.StopWork()]
