"""What a site works on in one study, and with which version: fetch, measure, train, run the baseline alone.

Knows:    the newest version, what was fetched, measured and trained from, and what the trainer is at.
Never:    decides what becomes of an update in the outbox, or whether the site may work at all: it is asked when it may.
Imports:  stdlib, schemas.   Used by: participant.core.study, simulation.

Only the newest version is ever fetched. Once fetched it is measured and trained from, even when a newer one appears
meanwhile: over a slow link there would always be a newer one. Each base version is trained from once, unless that
update was void, or refused for a reason that training again can heal.
"""

from dataclasses import dataclass
from typing import Literal

from participant.core import absence
from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.failing import TRIES_MAX
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from schemas.plan import Plan

WorkEvent = seen.Evaluated | seen.EvaluationFailed | seen.Trained | seen.TrainingFailed | seen.AloneEnded


@dataclass(slots=True)
class _Job:
    """What the trainer, or the sealing, is at."""

    kind: Literal["evaluate", "train", "alone", "seal"]
    version: int


class Work:
    """One fetch and one job at most. What a method returns has to be done in order; `now_ms` never falls."""

    def __init__(self, plan: Plan, pauses: Pauses, restored: Restored) -> None:
        self._plan, self._pauses = plan, pauses
        self.newest: seen.Announced | None = None
        self.fetching: int | None = None
        self.counted = restored.counted  # updates of this site that counted
        self._trained = dict(restored.trained)
        self._evaluated = restored.evaluated
        self._alone_done = restored.alone_done or not plan.evaluation.alone
        self._model: int | None = None  # the version in the file
        self._job: _Job | None = None
        self._fresh: int | None = None  # fetched just now: to be trained from although a newer one may be out
        self._barren: int | None = None  # no update comes from this version: its training gave numbers that are none
        self._nobody = False  # there is no training patient here: said once, and versions are judged alone
        self._attempt = 0

    @property
    def at_work(self) -> bool:
        """Whether the trainer, or the sealing, is at something."""
        return self._job is not None

    @property
    def busy(self) -> bool:
        """Whether something is at work that is not put aside for anything else; the local baseline is."""
        return self._job is not None and self._job.kind != "alone"

    @property
    def making(self) -> bool:
        """Whether an update is being made that the outbox will have to take."""
        return self._job is not None and self._job.kind in ("train", "seal")

    @property
    def waits_to_seal(self) -> bool:
        """Whether a finished update waits for its place in the outbox after a failure."""
        return self._job is not None and self._job.kind == "seal" and bool(self._pauses.failures("seal"))

    @property
    def final(self) -> bool:
        """Whether the newest version is the study's last."""
        return self.newest is not None and self.newest.final

    def late(self, base_version: int) -> bool:
        """Whether an update from this version, not offered yet, can never count."""
        assert self.newest is not None
        return self.newest.final or self.newest.version - base_version > self._plan.aggregation.staleness_max

    # -- facts

    def announced(self, event: seen.Announced) -> None:
        """Note the newest version; an older announcement says nothing."""
        before = self.newest
        if before is not None and event.version < before.version:
            return
        if event.final and not self.final:
            self._pauses.passed("alone")  # what would not stop when it was asked to may now come to its end
            self._pauses.passed("train")  # nothing is trained any more, and what is still out is refused as final
            self._pauses.passed("refused")
            if before is not None or self._alone_wanted():  # wanted: the last version was not told with it
                self._evaluated = min(self._evaluated, event.version - 1)  # once more: baseline and interval go with it
        if before is None or event.version > before.version:
            self._attempt = 0
            self._pauses.hurry("fetch")
        self.newest = event
        oldest = event.version - self._plan.aggregation.staleness_max
        self._trained = {base: sequence for base, sequence in self._trained.items() if base >= oldest}

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

    def worked(self, event: WorkEvent, now_ms: int) -> list[Effect]:
        """Note how a job ended; nothing for one that was stopped. What was trained is sealed at once."""
        job = self._job
        if job is None:
            return []
        match event:
            case seen.Evaluated() | seen.EvaluationFailed() if job == _Job("evaluate", event.version):
                self._job = None
                self._on_evaluation(event, now_ms)
            case seen.Trained() if job == _Job("train", event.base_version):
                self._pauses.passed("train")
                return self._begin("seal", event.base_version, self._seal(event.base_version))
            case seen.TrainingFailed() if job == _Job("train", event.base_version):
                self._job = None
                self._on_training_failed(event, now_ms)
            case seen.AloneEnded() if job.kind == "alone":
                self._job = None
                self._alone_done = event.done
                if not event.done:
                    self._pauses.failed("alone", now_ms, took_ms=event.took_ms)
            case _:
                pass
        return []

    def _on_evaluation(self, event: seen.Evaluated | seen.EvaluationFailed, now_ms: int) -> None:
        if isinstance(event, seen.EvaluationFailed):
            self._pauses.failed("evaluate", now_ms, took_ms=event.took_ms)
            return
        self._pauses.passed("evaluate")
        self._evaluated = max(self._evaluated, event.version)

    def _on_training_failed(self, event: seen.TrainingFailed, now_ms: int) -> None:
        """It goes on with longer and longer pauses, so that other studies have the trainer meanwhile."""
        if not event.ever:
            self._nobody = self._alone_done = True
            return
        self._pauses.failed("train", now_ms, took_ms=event.took_ms)
        self._attempt += 1
        self._barren = self._barren if event.again else event.base_version

    def sealed(self, event: seen.Sealed) -> bool:
        """Whether this is the update that was being sealed: then its base version is done with."""
        if self._job != _Job("seal", event.base_version):
            return False
        self._job = None
        self._pauses.passed("seal")
        self._trained[event.base_version] = event.sequence
        return True

    def seal_failed(self, event: seen.SealFailed, now_ms: int) -> None:
        """It is tried again after a pause, see `seal_again`."""
        if self._job == _Job("seal", event.base_version):
            self._pauses.failed("seal", now_ms)

    def free(self, base_version: int, sequence: int) -> None:
        """Train from this version once more, unless that was done since update `sequence`."""
        if self._trained.get(base_version) == sequence:
            del self._trained[base_version]
            self._attempt += 1

    # -- what follows

    def seal_again(self, now_ms: int) -> list[Effect]:
        """What is trained finds its way into the outbox, whatever else is held."""
        if self._job is not None and self._job.kind == "seal" and self._pauses.ends("seal", now_ms):
            return [self._seal(self._job.version)]
        return []

    def abandon(self, newest: seen.Announced) -> list[Effect]:
        """Stop what can no longer count: past the plan's table, or in a study that is over."""
        effects: list[Effect] = []
        needed = newest.final and self.fetching == newest.version
        if self.fetching is not None and self.late(self.fetching) and not needed:
            effects += self._stop_fetching()
        if self._job is not None and self._job.kind == "train" and self.late(self._job.version):
            effects += self._stop_job()
        return effects

    def go_on(self, newest: seen.Announced, now_ms: int, *, room: bool, linked: bool) -> list[Effect]:
        """Begin what may be begun.

        room     whether the outbox may take one more update
        linked   whether the broker answers
        """
        effects = self._work_on(newest, now_ms, room)
        if linked and self._may_fetch(newest, now_ms, room):
            self.fetching = newest.version
            effects.append(do.Fetch(newest.version))
        return effects

    def catch_up(self) -> list[Effect]:
        """After a long absence the newest version is worth more than an older one whose fetch was begun."""
        if self.newest is None or self.fetching is None or self.fetching >= self.newest.version:
            return []
        return self._stop_fetching()

    def stop(self) -> list[Effect]:
        """Stop what can be had again; who goes on later, goes on with the version that is the newest then."""
        self._fresh = None
        return [*self._stop_fetching(), *self._stop_job()]

    def _work_on(self, newest: seen.Announced, now_ms: int, room: bool) -> list[Effect]:
        if self.busy:
            return []
        effects: list[Effect] = []
        version = self._model
        wanted = version is not None and version in (newest.version, self._fresh)
        if version is not None and wanted and self._evaluation_may_start(version, newest, now_ms):
            effects = [*self._stop_job(), *self._begin("evaluate", version, do.Evaluate(version))]
        elif version is not None and wanted and room and self._may_train(version, now_ms):
            effects = [*self._stop_job(), *self._begin("train", version, do.Train(version, self._attempt))]
        else:
            self._fresh = None
        if self._job is None and self._may_run_alone(newest, now_ms):
            effects += self._begin("alone", 0, do.RunAlone())
        return effects

    def _may_fetch(self, newest: seen.Announced, now_ms: int, room: bool) -> bool:
        if self.busy or self.fetching is not None or not self._pauses.over("fetch", now_ms):
            return False
        if self._model == newest.version or self._fresh is not None:
            return False
        return self._to_evaluate(newest.version) or (room and self._will_train(newest.version))

    def _to_evaluate(self, version: int) -> bool:
        final = self.newest is not None and self.newest == seen.Announced(version, True)
        return version > self._evaluated and (final or version % self._plan.evaluation.every == 0)

    def _evaluation_may_start(self, version: int, newest: seen.Announced, now_ms: int) -> bool:
        """Training does not wait for one that failed. The final one carries the local baseline, and waits for it."""
        due = self._to_evaluate(version) and self._pauses.over("evaluate", now_ms)
        return due and not (newest.final and self._alone_wanted())

    def _alone_wanted(self) -> bool:
        return not self._alone_done and self._pauses.failures("alone") < TRIES_MAX

    def _may_run_alone(self, newest: seen.Announced, now_ms: int) -> bool:
        """In a quiet moment after the first update, or when the study is over. It may be stopped at any time, and as
        often as a version comes: what was done of it is kept.
        """
        if not self._alone_wanted() or not self._pauses.over("alone", now_ms):
            return False
        if newest.final:
            return True
        measured = not self._to_evaluate(newest.version) or not self._pauses.over("evaluate", now_ms)
        return measured and not self._will_train(newest.version) and bool(self._trained)

    def _will_train(self, version: int) -> bool:
        """Whether an update from this version is wanted, now or after a pause."""
        return not (self.final or self._nobody) and version not in self._trained and version != self._barren

    def _may_train(self, version: int, now_ms: int) -> bool:
        return self._will_train(version) and not self.late(version) and self._pauses.over("train", now_ms)

    def _seal(self, base_version: int) -> do.Seal:
        return do.Seal(base_version, absence.stands_for(base_version, self.counted))

    def _begin(self, kind: Literal["evaluate", "train", "alone", "seal"], version: int, effect: Effect) -> list[Effect]:
        self._job = _Job(kind, version)
        return [effect]

    def _stop_fetching(self) -> list[Effect]:
        version, self.fetching = self.fetching, None
        return [] if version is None else [do.StopFetching(version)]

    def _stop_job(self) -> list[Effect]:
        """Sealing is short and ends in the outbox; it is never stopped half-way."""
        if self._job is None or self._job.kind == "seal":
            return []
        self._job = None
        return [do.StopWork()]
