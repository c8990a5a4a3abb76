"""Follows the log for all studies of this site with one reader, and runs those that its policy approves.

Knows:    which plans are on the log, which of them the operator approved, and a runner for each of these.
Used by:  participant.app.
"""

import asyncio
import random
from collections.abc import Sequence

import structlog

from participant.core.effects import State
from participant.core.events import Linked
from participant.core.policy import Policy
from participant.settings import Study
from participant.shell.control import StudyState, Wish
from participant.shell.presence import PresenceTeller
from participant.shell.reading import Reading
from participant.shell.services import Services
from participant.shell.study import StudyRunner
from participant.training.client import Load, Loaded
from participant.training.launch import TrainerLostError
from schemas.errors import FederationError, LocalError, PeerError
from schemas.plan import ABSENCE, Plan
from transport.log import Entry, LogReader

LOAD_TRIES = 3
WAIT_MS, LOADING_WAIT_MS = 1000, 20  # how long to wait for records before looking at anything else

log = structlog.get_logger()


class Site:
    """One participant on the log. What one study's task or data are like never keeps another study from working."""

    def __init__(
        self, services: Services, reader: LogReader, presence: PresenceTeller, policy: Policy, studies: Sequence[Study]
    ) -> None:
        self._services, self._presence, self._policy = services, presence, policy
        self._reading = Reading(reader, self._feed)
        self._wanted = {study.digest: study for study in studies}
        self._runners: dict[bytes, StudyRunner] = {}
        self._by_topic: dict[str, StudyRunner] = {}
        self._loading: dict[bytes, asyncio.Task[StudyRunner]] = {}
        self._ignored: set[bytes] = set()  # plans that nobody here approved
        self._failed: dict[bytes, LocalError] = {}  # studies that cannot begin, until the operator has mended them
        self._wish = Wish()
        self._caught_up = False

    # the log -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Catch up, check data, follow; until cancelled.

        Raises LocalError when the only study cannot begin, or the registrar's topics do not exist at the start.
        """
        try:
            await self._follow()
        finally:
            for task in self._loading.values():
                task.cancel()

    async def _follow(self) -> None:
        await self._reading.begin()
        self._load_plans()
        for digest in self._wanted.keys() - self._loading.keys():
            log.info("approved plan is not on the log yet, waiting", plan=digest.hex())
        self._caught_up = True
        self._services.link.on_change(self._on_link)
        self._services.spawn(self._presence.run())
        while True:
            wait_ms = LOADING_WAIT_MS if self._loading else WAIT_MS
            await self._reading.follow(wait_ms=wait_ms)
            self._load_plans()
            await self._join()
            for runner in self._runners.values():
                self._drain(runner)

    def _drain(self, runner: StudyRunner) -> None:
        runner.log.unread = self._reading.why_unread(runner.study)
        runner.drain()

    def _feed(self, entry: Entry) -> None:
        if entry.refused:  # the reader has said so
            self._services.metrics.refused.labels(entry.refused).inc()
            return
        runner = self._by_topic.get(entry.topic)
        if runner is not None:
            runner.log.feed(entry)
            return
        try:
            self._services.directory.feed(entry.topic, entry.key, entry.value)
        except PeerError as error:
            self._services.metrics.refused.labels(error.code).inc()
            log.warning("record refused", topic=entry.topic, offset=entry.offset, reason=str(error))

    def _on_link(self, connected: bool) -> None:
        self._services.spawn(self._post_link(connected))

    async def _post_link(self, connected: bool) -> None:
        for runner in self._runners.values():
            runner.post(Linked(connected))

    # the operator --------------------------------------------------------------------------------------------------

    def take(self, wish: Wish) -> None:
        """Do what the operator wants; what was held for its task or data is tried again once it is not paused."""
        self._wish = wish
        for runner in self._runners.values():
            runner.take(wish)
        for digest in [one for one in self._failed if not wish.pauses(self._plan(one).study)]:
            del self._failed[digest]

    @property
    def left(self) -> bool:
        """Whether everything that was begun is settled, as far as it can be."""
        if not self._caught_up or self._loading:
            return not self._services.store.undecided
        return all(runner.left for runner in self._runners.values())

    def states(self) -> tuple[StudyState, ...]:
        """How the studies stand, by name."""
        found = [runner.standing() for runner in self._runners.values()]
        found += [StudyState(self._plan(one).study, "paused", str(error)) for one, error in self._failed.items()]
        found += [StudyState(self._plan(one).study, "idle", "loading task and data") for one in self._loading]
        return tuple(sorted(found, key=lambda one: one.study))

    # beginning a study ---------------------------------------------------------------------------------------------

    def _load_plans(self) -> None:
        """Load every approved study that is new on the log; mention once every plan that is not approved."""
        known = self._runners.keys() | self._loading.keys() | self._ignored | self._failed.keys()
        for digest, (plan, _) in list(self._services.directory.plans.items()):
            if digest in known:
                continue
            if not self._policy.approves(plan):
                self._ignored.add(digest)
                approval = f'[[studies]] plan = "{digest.hex()}"'
                log.info("plan not approved, ignored", study=plan.study, title=plan.title, approve_by=approval)
                continue
            self._loading[digest] = asyncio.create_task(self._begin(plan))

    async def _join(self) -> None:
        """Follow the studies that are loaded now."""
        loaded = [digest for digest, task in self._loading.items() if task.done()]
        began = [self._joined(digest, self._loading.pop(digest)) for digest in loaded]
        if not any(began):
            return
        await self._reading.add({runner.study: runner.log.topics for runner in self._runners.values()})
        connected = self._services.link.connected
        for runner in self._runners.values():
            if self._reading.why_unread(runner.study):
                self._drain(runner)  # it is held before it could send anything
            runner.post(Linked(connected))

    def _joined(self, digest: bytes, task: "asyncio.Task[StudyRunner]") -> bool:
        """Take a study that was loaded; False when it could not be. Raises its LocalError when there is no other."""
        plan = self._plan(digest)
        try:
            runner = task.result()
        except LocalError as error:
            if len(self._wanted) == 1:
                raise
            self._failed[digest] = error
            log.error("study not begun", study=plan.study, reason=str(error), hint=error.hint)
            self._presence.show(plan.study, State.PAUSED)
            self._services.metrics.show(plan.study, State.PAUSED)
            return False
        self._runners[digest] = runner
        self._by_topic |= dict.fromkeys(runner.log.topics, runner)
        runner.take(self._wish)
        return True

    def _plan(self, digest: bytes) -> Plan:
        return self._services.directory.plans[digest][0]

    async def _begin(self, plan: Plan) -> StudyRunner:
        """Check policy, task and data. Raises LocalError when this site cannot take part."""
        floor = self._policy.floor(plan)
        if plan.body_bytes > self._services.space.bytes_max:
            raise LocalError(
                f"study {plan.study}: one update has {plan.body_bytes} bytes, outbox_bytes_max is "
                f"{self._services.space.bytes_max}",
                hint="raise outbox_bytes_max in the settings, where the disk has the room",
            )
        loaded = await self._load(plan)
        _check_fits(plan, loaded)
        self._tell_set_aside(plan, loaded)
        log.info("study begins", study=plan.study, plan=plan.digest.hex(), examples_here=loaded.examples > 0)
        return StudyRunner(self._services, plan, loaded, floor=floor, show=self._presence.show, jitter=random.random)

    def _tell_set_aside(self, plan: Plan, loaded: Loaded) -> None:
        """What the data contract kept out, by column and rule; it is said here and nowhere else."""
        metrics = self._services.metrics
        metrics.records.labels(plan.study).set(loaded.records)
        metrics.records_bad.labels(plan.study).set(loaded.bad_records)
        for where, column, rule, count in loaded.set_aside:
            metrics.records_set_aside.labels(plan.study, column, rule).set(count)
            log.warning("records set aside", study=plan.study, file=where, column=column, rule=rule, records=count)
        if loaded.bad_records:
            log.warning(
                "training goes on without bad records", study=plan.study, bad=loaded.bad_records, of=loaded.records
            )

    async def _load(self, plan: Plan) -> Loaded:
        study = self._wanted[plan.digest]
        load = Load(
            study=plan.study,
            entry=study.task or plan.task.entry,
            code=plan.task.code,
            site=self._services.name,
            folder=study.data,
            options=_options(plan, study),
            bad_records_max=plan.data.bad_records_max,
        )
        for _ in range(LOAD_TRIES):
            try:
                return await self._services.trainer.load(load)
            except TrainerLostError as error:
                log.warning("trainer lost while it loaded a study", study=plan.study, reason=str(error))
                await asyncio.sleep(1.0)
            except LocalError:
                raise
            except FederationError as error:
                raise LocalError(f"study {plan.study}: the task cannot load this site's data: {error}") from None
        raise LocalError(
            f"study {plan.study}: the trainer ended {LOAD_TRIES} times while it loaded task and data",
            hint="is there enough memory? does the task run by itself?",
        )


def _options(plan: Plan, study: Study) -> dict[str, str]:
    """The plan's options and the site's own; a site cannot change what the plan says."""
    fixed = dict(plan.task.options)
    clash = sorted(fixed.keys() & study.options.keys())
    if clash:
        raise LocalError(f"study {plan.study}: options {', '.join(clash)} stand in the plan and cannot be set here")
    return fixed | study.options


def _check_fits(plan: Plan, loaded: Loaded) -> None:
    """Raises LocalError when plan and task do not belong together, or the plan asks for what no task here computes."""
    if (loaded.parameters, loaded.metric) != (plan.parameters, plan.evaluation.metric):
        raise LocalError(
            f"study {plan.study}: the task has {loaded.parameters} parameters and metric {loaded.metric}, "
            f"the plan {plan.parameters} and {plan.evaluation.metric}",
            hint="are the task's options those of the plan?",
        )
    unknown = [name for name, _, _ in plan.privacy.auxiliary if name not in (plan.privacy.examples, ABSENCE)]
    if unknown:
        raise LocalError(f"study {plan.study}: auxiliary coordinates {', '.join(unknown)} are not built yet")
    if plan.privacy.examples is not None and loaded.examples < 1:
        raise LocalError(f"study {plan.study} weighs by examples, and this site has no training patients")
