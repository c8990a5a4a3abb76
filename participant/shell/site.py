"""Follows the log for all studies of this site with one reader, and runs those that its policy approves.

Knows:    which plans are on the log, which of them the operator approved, and a runner for each of these.
Used by:  participant.app.
"""

import asyncio
import random
from collections.abc import Sequence

import structlog

from participant.core.events import Linked
from participant.core.policy import Policy
from participant.settings import Study
from participant.shell.presence import PresenceTeller
from participant.shell.services import Services
from participant.shell.study import StudyRunner
from participant.training.client import Load, Loaded
from participant.training.launch import TrainerLostError
from schemas import topics
from schemas.errors import FederationError, LocalError, PeerError
from schemas.plan import Plan
from transport.log import EARLIEST, Entry, LogReader

LOAD_TRIES = 3

log = structlog.get_logger()


class Site:
    """One participant on the log. Everything runs in the task that calls `run`, and in those that services spawn."""

    def __init__(
        self, services: Services, reader: LogReader, presence: PresenceTeller, policy: Policy, studies: Sequence[Study]
    ) -> None:
        self._services, self._reader, self._presence, self._policy = services, reader, presence, policy
        self._wanted = {study.digest: study for study in studies}
        self._runners: dict[bytes, StudyRunner] = {}
        self._by_topic: dict[str, StudyRunner] = {}
        self._set_aside: set[bytes] = set()
        self._joined = False

    async def run(self) -> None:
        """Catch up, check data, join, follow; until cancelled. Raises LocalError when something is set up wrongly."""
        await self._reader.assign({topics.MEMBERS: EARLIEST, topics.PLANS: EARLIEST})
        await self._catch_up()
        await self._take_plans()
        for digest in self._wanted.keys() - self._runners.keys() - self._set_aside:
            log.info("approved plan is not on the log yet, waiting", plan=digest.hex())
        self._joined = True
        self._services.link.on_change(self._on_link)
        self._services.spawn(self._presence.run())
        while True:
            for entry in await self._reader.batch(wait_ms=1000):
                self._feed(entry)
            if self._services.directory.plans.keys() - self._runners.keys() - self._set_aside:
                await self._take_plans()
            self._tell()

    async def _catch_up(self) -> None:
        """Feed everything that is on the assigned topics now."""
        ends = await self._reader.ends()
        while not await self._reader.reached(ends):
            for entry in await self._reader.batch(records_max=10_000, wait_ms=50):
                self._feed(entry)

    def _feed(self, entry: Entry) -> None:
        runner = self._by_topic.get(entry.topic)
        if runner is not None:
            runner.log.feed(entry)
            return
        try:
            self._services.directory.feed(entry.topic, entry.key, entry.value)
        except PeerError as error:
            self._services.metrics.refused.labels(error.code).inc()
            log.warning("record refused", topic=entry.topic, offset=entry.offset, reason=str(error))

    def _tell(self) -> None:
        for runner in self._runners.values():
            if events := runner.log.drain():
                runner.post(*events)

    def _on_link(self, connected: bool) -> None:
        self._services.spawn(self._post_link(connected))

    async def _post_link(self, connected: bool) -> None:
        for runner in self._runners.values():
            runner.post(Linked(connected))

    async def _take_plans(self) -> None:
        """Begin every approved study that is new on the log; mention once every plan that is not approved."""
        began = False
        for digest, (plan, _) in list(self._services.directory.plans.items()):
            if digest in self._runners or digest in self._set_aside:
                continue
            if not self._policy.approves(plan):
                self._set_aside.add(digest)
                approval = f'[[studies]] plan = "{digest.hex()}"'
                log.info("plan not approved, ignored", study=plan.study, title=plan.title, approve_by=approval)
                continue
            try:
                await self._begin(plan)
                began = True
            except LocalError as error:
                if not self._joined:
                    raise
                self._set_aside.add(digest)
                log.error("study not begun", study=plan.study, reason=str(error), hint=error.hint)
        if began:
            positions = dict.fromkeys(self._by_topic, EARLIEST) | self._reader.positions()
            await self._reader.assign(positions)
            await self._catch_up()
            connected = self._services.link.connected
            for runner in self._runners.values():
                runner.post(Linked(connected))
            self._tell()

    async def _begin(self, plan: Plan) -> None:
        """Check policy, task and data. Raises LocalError when this site cannot take part."""
        floor = self._policy.floor(plan)
        loaded = await self._load(plan)
        _check_fits(plan, loaded)
        runner = StudyRunner(self._services, plan, loaded, floor=floor, show=self._presence.show, jitter=random.random)
        self._runners[plan.digest] = runner
        self._by_topic |= dict.fromkeys(runner.log.topics, runner)
        log.info("study begins", study=plan.study, plan=plan.digest.hex(), examples_here=loaded.examples > 0)

    async def _load(self, plan: Plan) -> Loaded:
        study = self._wanted[plan.digest]
        load = Load(
            study=plan.study,
            entry=study.task or plan.task.entry,
            code=plan.task.code,
            site=self._services.name,
            folder=study.data,
            options=_options(plan, study),
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
    unknown = [name for name, _, _ in plan.privacy.auxiliary if name != plan.privacy.examples]
    if unknown:
        raise LocalError(f"study {plan.study}: auxiliary coordinates {', '.join(unknown)} are not built yet")
    if plan.privacy.examples is not None and loaded.examples < 1:
        raise LocalError(f"study {plan.study} weighs by examples, and this site has no training patients")
