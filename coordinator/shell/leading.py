"""Runs the studies of the lead partitions that this process holds, each partition behind a fence of its own.

Knows:    what the election gave, which studies fall to it, and that being fenced is news and no catastrophe.
Never:    writes for a partition before its producer was started: that start is what stops the predecessor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from coordinator.shell.condition import ALL, RUNS, Condition, condition_of
from coordinator.shell.services import Services
from coordinator.shell.study import StudyRunner
from runtime.disk import in_words
from runtime.service import first_error
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import PlanRecord
from transport.errors import BodyGone, CommitUnknown, Fenced, LogReset

TRY_AGAIN_S = 30.0
STOP_S = 10.0  # what ending a partition's studies and clients may take at most

Confirmed = Callable[[], Awaitable[None]]
log = structlog.get_logger()


class LeadPartition:
    """The studies of one partition, for as long as it is held."""

    def __init__(self, services: Services, number: int, confirmed: Confirmed) -> None:
        """`confirmed` waits until the broker has just confirmed what this process holds."""
        self._services = services
        self._number = number
        self._confirmed = confirmed
        self._plans: dict[str, tuple[Plan, PlanRecord]] = {}
        self._runners: dict[str, StudyRunner] = {}
        self._wanted = asyncio.Event()
        self._begun: set[str] = set()

    def add(self, plan: Plan, record: PlanRecord) -> None:
        """Run this study too; a second call changes nothing."""
        if plan.study not in self._plans:
            self._plans[plan.study] = (plan, record)
            self._wanted.set()

    def membership_changed(self) -> None:
        for runner in self._runners.values():
            runner.membership_changed()

    async def run(self) -> None:
        """Lead until cancelled: after a fence, or a commit whose outcome nobody knows, again from the log."""
        gauge = self._services.metrics.leads.labels(str(self._number))
        while True:
            if not self._plans:  # a partition without studies needs no producer
                await self._wanted.wait()
            writer = self._services.connection.transactions(topics.lead_id(self._number))
            try:
                await writer.start()
                gauge.set(1)
                self._services.metrics.takeovers.labels(str(self._number)).inc()
                log.info("leads", partition=self._number, studies=sorted(self._plans))
                await self._run_studies(replace(self._services, led_by=writer))
            except* (Fenced, CommitUnknown) as group:
                self._services.metrics.fenced.labels(str(self._number)).inc()
                log.warning("studies stop", partition=self._number, reason=str(first_error(group)))
            finally:
                gauge.set(0)
                await writer.close()
            await self._confirmed()
            await self._services.link.backoff()

    async def _run_studies(self, services: Services) -> None:
        self._begun.clear()
        self._runners.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(services.transactions.keep_visible(), name=f"visible {self._number}")
            while True:
                self._wanted.clear()
                for study in sorted(self._plans.keys() - self._begun):
                    self._begun.add(study)
                    tasks.create_task(self._run(services, *self._plans[study]), name=f"study {study}")
                await self._wanted.wait()

    async def _run(self, services: Services, plan: Plan, record: PlanRecord) -> None:
        """One study for ever: what may pass is tried again, a log that cannot be trusted stops this study alone."""
        while True:
            runner = self._runners[plan.study] = StudyRunner(services, plan, record)
            self._tell(plan.study, RUNS)
            try:
                await runner.run()
            except (LocalError, BodyGone, PeerError, LogReset, OSError) as error:
                del self._runners[plan.study]
                condition = condition_of(error)
                hint = error.hint if isinstance(error, LocalError) else ""
                reason = in_words(error, services.folder)
                self._tell(plan.study, condition)
                what = "study stands" if condition.stands else "study interrupted"
                log.error(
                    what, study=plan.study, condition=condition.name, reason=reason, to_do=hint or condition.to_do,
                    again_in_s=None if condition.stands else TRY_AGAIN_S,
                )  # fmt: skip
                if condition.stands:
                    return
            await asyncio.sleep(TRY_AGAIN_S)

    def _tell(self, study: str, now: Condition) -> None:
        for condition in ALL:
            self._services.metrics.condition.labels(study, condition.name).set(condition is now)


class Leading:
    """What this process leads. An error in any partition that is not about leading ends the process."""

    def __init__(self, services: Services, confirmed: Confirmed) -> None:
        self._services = services
        self._confirmed = confirmed
        self._held: dict[int, tuple[LeadPartition, asyncio.Task[None]]] = {}
        self._plans: dict[str, tuple[Plan, PlanRecord]] = {}
        self._partitions = 0

    async def hold(self, held: frozenset[int], partitions: int) -> None:
        """The election gave out the partitions: stop what is lost, begin what is new, leave alone what stays.

        Raises what ended a partition, and LocalError when one that is lost does not end in time.
        """
        self._partitions = partitions
        await asyncio.gather(*(self._end(number) for number in self._held.keys() - held))
        for number in sorted(held - self._held.keys()):
            partition = LeadPartition(self._services, number, self._confirmed)
            self._held[number] = partition, asyncio.create_task(partition.run(), name=f"lead {number}")
        self._spread()

    def add(self, plan: Plan, record: PlanRecord) -> None:
        """A study is published: it runs here when its partition is held, now or later."""
        if plan.study not in self._plans:
            self._plans[plan.study] = (plan, record)
            self._spread()

    def busy(self, partitions: int) -> frozenset[int]:
        """The lead partitions that have studies."""
        return frozenset(topics.lead_partition(study, partitions) for study in self._plans)

    def membership_changed(self) -> None:
        for partition, _ in self._held.values():
            partition.membership_changed()

    def check(self) -> None:
        """Raise what has ended a partition, if anything did."""
        for _, task in self._held.values():
            if task.done():
                task.result()

    async def close(self) -> None:
        """End every partition; bounded."""
        await asyncio.gather(*(self._end(number) for number in list(self._held)))

    def _spread(self) -> None:
        for plan, record in self._plans.values():
            if self._partitions:
                mine = self._held.get(topics.lead_partition(plan.study, self._partitions))
                if mine is not None:
                    mine[0].add(plan, record)

    async def _end(self, number: int) -> None:
        _, task = self._held.pop(number)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=STOP_S)
        if not done:
            raise LocalError(
                f"the studies of lead partition {number} did not end within {STOP_S:g} s",
                hint="start the coordinator again: its successor goes on from the log",
            )
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
