"""Runs one study at this site: tells its core facts, and has jobs do what it wants.

Never:    decides; whatever happens is reported to the core as an event.
"""

import asyncio
from collections.abc import Callable

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.stage import Fate
from participant.core.study import StudyCore
from participant.shell.control import StudyState, Wish
from participant.shell.failures import Failures
from participant.shell.follow import StudyLog
from participant.shell.jobs.doing import Doing
from participant.shell.jobs.job import Means
from participant.shell.models import Models
from participant.shell.outgoing import Outgoing, reconcile_outbox
from participant.shell.room import Room
from participant.shell.services import Services, now_ms
from participant.shell.setup import Setup
from participant.shell.store import Decision
from participant.training.errors import LoadError
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.records import Trouble
from schemas.text import plain

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
        self._services, self._plan, self._setup = services, plan, setup
        self._show, self._show_trouble = show, show_trouble
        self._out = Outgoing(services, plan)
        failures = Failures(services, plan, load_again=self._load_again, hold=self._hold)
        models, training = Models(services.models, plan.study), plan.training.settings()
        means = Means(services, plan, self.log, self._out, models, failures, training)
        self._doing = Doing(means, self.post)
        self._core = StudyCore(plan, services.name, jitter=jitter, restored=reconcile_outbox(services, plan, self._out))
        self._timer: asyncio.TimerHandle | None = None
        self._room = Room(services, plan, lambda free: self.post(seen.Room(free)))
        services.metrics.watch_outbox(plan.study, self._room.oldest_ms)
        self._room.watch()
        self.post(seen.Loading(True))
        self._loading = services.spawn(self._load())

    def post(self, *events: Event) -> None:
        """Tell the core facts that became known together, and do what it wants."""
        for effect in self._core.on_all(events, now_ms()):
            if not self._doing.take(effect):
                self._do(effect)
        self._tell_how_it_goes()
        self._room.hold(making=self._core.making)
        self._set_timer()

    def drain(self) -> None:
        """Tell the core what its log has that is new."""
        if events := self.log.drain():
            self.post(*events)

    def take(self, wish: Wish) -> None:
        """Do what the operator wants; what was held for its task or data is tried again once it is not paused."""
        paused = wish.pauses(self._plan.study)
        self.post(seen.Held("paused by the operator" if paused else "", by=seen.Holder.OPERATOR))
        self._setup.wished(rests=paused or wish.leaving)
        if not paused and self._loading.done():
            self.post(seen.Held("", by=seen.Holder.SETUP))
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

    def _do(self, effect: Effect) -> None:
        """What is done at once, and reports nothing."""
        match effect:
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
            case _:
                raise TypeError(f"nobody does {effect}")

    def _settle(self, effect: do.Settle) -> None:
        said = {"code": effect.code, "version": effect.version, "weight": effect.weight}
        decision = Decision(effect.fate, effect.code, effect.version, effect.weight)
        self._out.settle(effect.sequence, decision, again=effect.again)
        self._services.metrics.decided.labels(self._plan.study, effect.fate, effect.code or "").inc()
        update = f"{self._plan.study}/{self._services.name}/{effect.sequence}"
        tell = log.info if effect.fate is Fate.COUNTED else log.warning
        tell("update decided", update=update, outcome=effect.fate.value, **said)

    async def _load(self) -> None:
        """Have task and data loaded, however long that takes. Raises LoadError when the service has to end with it."""
        self._out.ready = ready = await self._setup.ready(self._hold)
        examples_here = ready.loaded.examples > 0
        log.info("study begins", study=self._plan.study, plan=self._plan.digest.hex(), examples_here=examples_here)
        self.post(seen.Loading(False), seen.Held("", by=seen.Holder.SETUP))

    def _load_again(self, error: LoadError) -> None:
        self._setup.failed(error)
        self._hold(error)
        self._loading = self._services.spawn(self._load())

    def _hold(self, error: LocalError) -> None:
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        self.post(seen.Loading(False), seen.Held(reason, by=seen.Holder.SETUP))

    def _tell_how_it_goes(self) -> None:
        metrics, study = self._services.metrics, self._plan.study
        metrics.outbox.labels(study).set(len(self._core.outbox))
        for kind, count in self._core.failing.items():
            metrics.failures.labels(study, kind).set(count)
            if kind.upper() in Trouble.__members__:  # others are told of what the federation waits for
                self._show_trouble(study, Trouble[kind.upper()], count)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_ms = self._core.wake_ms
        if wake_ms is not None:
            delay_s = max(0, wake_ms - now_ms() + 1) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.post, seen.Tick())


async def _end_service(halt: do.Halt) -> None:
    raise LocalError(halt.message, hint=halt.hint)
