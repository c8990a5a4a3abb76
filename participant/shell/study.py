"""Runs one study at this site: turns its core's effects into fetches, trainings, files and records.

Knows:    which task of the event loop does what, so that it can be stopped.
Never:    decides; whatever happens is reported to the core as an event.
Used by:  participant.app.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.stage import Fate
from participant.core.study import StudyCore
from participant.shell import database
from participant.shell.body import SealingStopped
from participant.shell.control import StudyState, Wish
from participant.shell.fetch import fetch_model, partial
from participant.shell.follow import StudyLog
from participant.shell.outgoing import Outgoing
from participant.shell.services import Services, now_ms
from participant.shell.setup import Setup
from participant.shell.store import Decision
from participant.training.client import LoadError, TrainerRefusedError, training_seed, training_settings
from participant.training.launch import TrainerLostError
from protocol.digests import model_subject
from protocol.fixed_point import EncodingError
from protocol.sealing import open_epoch_box
from runtime.disk import in_words
from schemas import topics
from schemas.errors import FederationError, LocalError
from schemas.plan import Plan
from schemas.records import Announcement, Trouble
from schemas.text import plain
from transport.errors import BodyGone, TopicMissing

log = structlog.get_logger()


class StudyRunner:
    """One approved study, followed also while its task and data are not loaded; `post` takes facts from any task."""

    def __init__(
        self,
        services: Services,
        plan: Plan,
        setup: Setup,
        *,
        show: Callable[[str, State], None],
        show_trouble: Callable[[str, Trouble, int], None],
        jitter: Callable[[], float],
    ) -> None:
        self.log = StudyLog(services, plan)
        self._services, self._plan, self._setup, self._show = services, plan, setup, show
        self._show_trouble = show_trouble
        self._out = Outgoing(services, plan)
        self._core = StudyCore(plan, services.name, jitter=jitter, restored=self._restored())
        self._timer: asyncio.TimerHandle | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._update: IO[bytes] | None = None  # trained and not sealed yet; a file without a name
        self._training = training_settings(plan)
        self._limit_s, self._silence_s = float(plan.training.time_limit_s), float(plan.training.progress_limit_s)
        self._waiting = services.metrics.outbox.labels(plan.study)
        services.metrics.watch_outbox(plan.study, self._oldest_ms)
        self._room = True
        self._hold_space()
        services.space.on_change(self._look_for_room)
        self._look_for_room()
        self.post(seen.Loading(True))
        self._loading = services.spawn(self._load())

    def post(self, *events: Event) -> None:
        """Tell the core facts that became known together, and do what it wants."""
        for effect in self._core.on_all(events, now_ms()):
            self._do(effect)
        self._waiting.set(len(self._core.outbox))
        for kind, count in self._core.failing.items():
            self._services.metrics.failures.labels(self._plan.study, kind).set(count)
            if kind != "alone":  # nothing of the federation waits for it
                self._show_trouble(self._plan.study, Trouble[kind.upper()], count)
        self._hold_space()
        self._set_timer()

    def _hold_space(self) -> None:
        rows = self._services.store.rows(self._plan.study)
        making = self._plan.body_bytes if self._core.making else 0
        self._services.space.hold(self._plan.study, sum(row.size_bytes for row in rows) + making)
        self._services.metrics.outbox_bytes.set(self._services.space.bytes)

    def _look_for_room(self) -> None:
        room = self._services.space.has_room(self._plan.study, self._plan.body_bytes)
        if room == self._room:
            return
        self._room = room
        self._services.metrics.outbox_full.labels(self._plan.study).set(not room)
        if not room:
            held, most = self._services.space.bytes, self._services.space.bytes_max
            log.warning("no room in the outbox, nothing new is trained", study=self._plan.study, held=held, most=most)
        self.post(seen.Room(room))

    def drain(self) -> None:
        """Tell the core what its log has that is new."""
        if events := self.log.drain():
            self.post(*events)

    def take(self, wish: Wish) -> None:
        """Do what the operator wants; what was held for its task or data is tried again once it is not paused."""
        paused = wish.pauses(self._plan.study)
        self.post(seen.Held("paused by the operator" if paused else "", by="operator"))
        self._setup.wished(rests=paused or wish.leaving)
        if not paused and self._loading.done():
            self.post(seen.Held("", by="setup"))
        self.post(seen.Leaving(wish.leaving))
        resumed = bool(wish.serial) and not (paused or wish.leaving)
        if resumed and self._loading.done() and self._core.held:  # what is loaded once more says so itself
            log.warning("study stays held", study=self._plan.study, reason=self._core.held)

    @property
    def study(self) -> str:
        return self._plan.study

    @property
    def left(self) -> bool:
        return self._core.left

    def standing(self) -> StudyState:
        """How the study stands, for the operator."""
        entries = self._core.outbox
        unsent = sum(not entry.offered for entry in entries)
        return StudyState(self._plan.study, self._core.state.value, plain(self._core.held), len(entries), unsent)

    # effects -------------------------------------------------------------------------------------------------------

    def _do(self, effect: Effect) -> None:
        match effect:
            case do.Fetch():
                told = self.log.told
                assert told is not None
                assert told.version == effect.version
                self._fetching = self._services.spawn(self._fetch(told))
            case do.StopFetching():
                _cancel(self._fetching)
            case do.Evaluate():
                self._working = self._services.spawn(self._evaluate(effect.version))
            case do.Train():
                self._working = self._services.spawn(self._train(effect.base_version, effect.attempt))
            case do.RunAlone():
                self._working = self._services.spawn(self._alone())
            case do.StopWork():
                _cancel(self._working)
            case do.Seal():
                self._services.spawn(self._seal(effect.base_version, effect.stands_for))
            case do.Send():
                self._sending = self._services.spawn(self._send(effect.sequence, effect.anew))
            case do.StopSending():
                _cancel(self._sending)
            case do.Settle():
                self._settle(effect)
            case do.Show():
                self._show(self._plan.study, effect.state)
                self._services.metrics.show(self._plan.study, effect.state)
            case do.Alarm():
                if not effect.fails:  # that is counted as it goes, and ends: see failures_in_a_row
                    self._services.metrics.alarms.labels(self._plan.study).inc()
                log.error("alarm", study=self._plan.study, reason=effect.message)
            case do.Halt():
                self._services.spawn(_end_service(effect))

    async def _load(self) -> None:
        """Have task and data loaded, however long that takes. Raises LoadError when the service has to end with it."""
        self._out.ready = ready = await self._setup.ready(self._hold)
        examples_here = ready.loaded.examples > 0
        log.info("study begins", study=self._plan.study, plan=self._plan.digest.hex(), examples_here=examples_here)
        self.post(seen.Loading(False), seen.Held("", by="setup"))

    async def _fetch(self, announced: Announcement) -> None:
        study, version = self._plan.study, announced.version
        target = self._model(version)
        self._drop_models(f"{study}.*.half", keep=partial(target))
        try:
            epoch_key = await self.log.epoch_key(announced.key_epoch)
            await fetch_model(
                self._services.reader,
                topics.models(study),
                announced.model,
                body_key=open_epoch_box(epoch_key, announced.model.body.boxes),
                subject=model_subject(study, version),
                size_bytes=4 * self._plan.parameters,
                target=target,
                on_bytes=self._count_down,
            )
        except (FederationError, BodyGone, OSError) as error:
            log.warning("version not fetched, trying again", study=study, version=version, reason=self._words(error))
            self.post(seen.FetchFailed(version))
            return
        self._drop_models(f"{study}.*.f32", keep=target)
        self._services.metrics.versions_fetched.labels(study).inc()
        self._services.metrics.version.labels(study).set(version)
        self.post(seen.Fetched(version))

    async def _evaluate(self, version: int) -> None:
        final = self.log.view.final
        try:
            values = await self._services.trainer.evaluate(
                self._plan.study,
                vector=self._model(version),
                resamples=self._plan.evaluation.bootstrap if final else 0,
                seed=self._plan.seed,
                limit_s=self._silence_s,
            )
            await self._out.evaluation(version, self._digest(version), values, with_alone=final)
        except (FederationError, OSError, sqlite3.Error) as error:
            if database.is_damage(error):
                raise
            self._failed("evaluation failed", error, version=version)
            self.post(seen.EvaluationFailed(version, _took_ms(error)))
            return
        self.post(seen.Evaluated(version))

    async def _train(self, base_version: int, attempt: int) -> None:
        study = self._plan.study
        try:
            self._update = update = tempfile.TemporaryFile(dir=self._services.scratch, buffering=0)  # noqa: SIM115  # closed with its last owner
            seconds = await self._services.trainer.train(
                study,
                base=self._model(base_version),
                out=update,
                training=self._training,
                seed=training_seed(self._plan, self._services.name, base_version, attempt),
                limit_s=self._silence_s,
                total_s=self._limit_s + self._silence_s,
            )
        except (FederationError, OSError) as error:
            reason = error.reason if isinstance(error, TrainerRefusedError) else ""
            if reason == "nobody":
                log.warning("no training patients here: this site judges versions and sends no update", study=study)
            else:
                self._failed("training failed", error, version=base_version)
            again, ever = reason not in ("numbers", "nobody"), reason != "nobody"
            self.post(seen.TrainingFailed(base_version, again, _took_ms(error), ever))
            return
        self._services.metrics.training_s.labels(study).observe(seconds)
        self._services.store.count(study, "train-seconds", seconds)
        self.post(seen.Trained(base_version))

    async def _alone(self) -> None:
        try:
            values = await self._services.trainer.alone(
                self._plan.study,
                training=self._training,
                resamples=self._plan.evaluation.bootstrap,
                seed=self._plan.seed,
                limit_s=self._silence_s,
            )
        except (FederationError, OSError) as error:
            self._failed("local baseline failed", error, version=None)
            self.post(seen.AloneEnded(False, _took_ms(error)))
            return
        self._out.keep_alone(values)
        self.post(seen.AloneEnded(True))

    async def _seal(self, base_version: int, stands_for: float) -> None:
        assert self._update is not None
        try:
            sequence = await asyncio.to_thread(
                self._out.seal, self._update, base_version, self._digest(base_version), stands_for
            )
        except EncodingError as error:
            self._say_held(error)
            return
        except SealingStopped:
            return
        except (OSError, sqlite3.Error) as error:
            if database.is_damage(error):
                raise
            log.error("outbox cannot take the update, trying again", study=self._plan.study, reason=self._words(error))
            self.post(seen.SealFailed(base_version))
            return
        self._update = None
        log.debug("update in the outbox", update=self._named(sequence), base_version=base_version)
        self.post(seen.Sealed(base_version, sequence))

    async def _send(self, sequence: int, anew: bool) -> None:
        try:
            offset = await self._out.send(sequence, anew=anew)
        except (FederationError, OSError) as error:
            log.warning("update not sent, trying again", update=self._named(sequence), reason=self._words(error))
            self.post(seen.SendFailed(sequence))
            return
        log.info("update offered", update=self._named(sequence))
        self.post(seen.Sent(sequence, offset))

    def _settle(self, effect: do.Settle) -> None:
        decision = Decision(effect.fate, effect.code, effect.version, effect.weight)
        self._out.settle(effect.sequence, decision, again=effect.again)
        self._services.metrics.decided.labels(self._plan.study, effect.fate, effect.code or "").inc()
        tell = log.info if effect.fate is Fate.COUNTED else log.warning
        tell(
            "update decided",
            update=self._named(effect.sequence),
            outcome=effect.fate.value,
            code=effect.code,
            version=effect.version,
            weight=effect.weight,
        )

    def _words(self, error: Exception) -> str:
        """What an operator reads."""
        if not isinstance(error, sqlite3.Error):
            return in_words(error, self._services.folder)
        return f"{database.in_words(error, self._services.store.path)}; {database.hint_of(error)}"

    # small things --------------------------------------------------------------------------------------------------

    def _failed(self, what: str, error: Exception, version: int | None) -> None:
        """Report and count failed work; its core has it tried again. Task or data that are not as they must be hold."""
        if isinstance(error, LoadError):  # by a new trainer, in the midst of the study
            self._setup.failed(error)
            self._hold(error)
            self._loading = self._services.spawn(self._load())
            return
        reason = error.reason if isinstance(error, TrainerRefusedError | TrainerLostError) else "disk"
        if isinstance(error, TopicMissing):
            reason = "topic"
        elif isinstance(error, LocalError):
            reason = "setup"
        self._services.metrics.trainings_failed.labels(self._plan.study, reason).inc()
        hint = getattr(error, "hint", "")
        told = {"version": version, "kind": reason, "reason": self._words(error)} | ({"hint": hint} if hint else {})
        log.warning(what, study=self._plan.study, **told)

    def _say_held(self, error: LocalError) -> None:
        log.error("study held", study=self._plan.study, reason=str(error), hint=error.hint)
        self._hold(error)

    def _hold(self, error: LocalError) -> None:
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        self.post(seen.Loading(False), seen.Held(reason, by="setup"))

    def _restored(self) -> Any:
        """What site.db remembers; an update whose body is gone is dropped, a body without an update removed."""
        store, study = self._services.store, self._plan.study
        for row in store.rows(study):
            if not self._out.body(row.sequence).exists():
                log.error("the body of an update is gone", update=self._named(row.sequence))
                self._out.settle(row.sequence, Decision(Fate.LOST), again=True)
                self._services.metrics.decided.labels(study, Fate.LOST, "").inc()
        known = {self._out.body(row.sequence) for row in store.rows(study)}
        for path in self._services.outbox.glob(f"{study}.*"):
            if path not in known:
                path.unlink()
        return store.restored(study)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_ms = self._core.wake_ms
        if wake_ms is not None:
            delay_s = max(0, wake_ms - now_ms() + 1) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.post, seen.Tick())

    def _oldest_ms(self) -> int | None:
        return min((row.sealed_ms for row in self._services.store.rows(self._plan.study)), default=None)

    def _count_down(self, size_bytes: int) -> None:
        self._services.store.count(self._plan.study, "bytes-down", size_bytes)
        self._services.metrics.bytes.labels(self._plan.study, "down").inc(size_bytes)

    def _drop_models(self, pattern: str, keep: Path) -> None:
        """Remove what lies of other versions."""
        for old in self._services.models.glob(pattern):
            if old != keep:
                old.unlink(missing_ok=True)

    def _digest(self, version: int) -> bytes:
        digest = self.log.view.model_digest(version)
        assert digest is not None
        return digest

    def _model(self, version: int) -> Path:
        return self._services.models / f"{self._plan.study}.{version}.f32"

    def _named(self, sequence: int) -> str:
        return f"{self._plan.study}/{self._services.name}/{sequence}"


async def _end_service(halt: do.Halt) -> None:
    raise LocalError(halt.message, hint=halt.hint)


def _cancel(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()


def _took_ms(error: Exception) -> int:
    """How long the trainer was busy with what failed."""
    return round(1000 * error.took_s) if isinstance(error, TrainerLostError | TrainerRefusedError) else 0
