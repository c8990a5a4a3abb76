"""Follows the log for all studies of this site with one reader, and runs those that the operator approved.

Knows:    which plans are on the log, which of them the operator approved, and a runner for each of these.
"""

import random
from collections.abc import Sequence

import structlog

from participant.core.approvals import Approvals
from participant.core.events import Linked
from participant.settings import Study
from participant.shell.control import StudyState, Wish
from participant.shell.presence import PresenceTeller
from participant.shell.reading import Reading
from participant.shell.services import Services
from participant.shell.setup import Setup
from participant.shell.study import StudyRunner
from protocol.directory import ANOTHERS_HINT
from schemas.errors import PeerError
from schemas.plan import Plan
from transport.reading.log import Entry, LogReader

WAIT_MS = 1000  # how long to wait for records before looking at anything else

log = structlog.get_logger()


class Site:
    """One participant on the log. What one study's task or data are like never keeps another study from working."""

    def __init__(
        self,
        services: Services,
        reader: LogReader,
        presence: PresenceTeller,
        approvals: Approvals,
        studies: Sequence[Study],
    ) -> None:
        self._services, self._presence, self._approvals = services, presence, approvals
        self._reading = Reading(reader, self._feed)
        self._wanted = {study.digest: study for study in studies}
        self._runners: dict[bytes, StudyRunner] = {}
        self._by_topic: dict[str, StudyRunner] = {}
        self._ignored: set[bytes] = set()  # plans that nobody here approved
        self._wish = Wish()
        self._caught_up = False

    # the log -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Catch up, follow; until cancelled.

        Raises LocalError when the registrar's topics do not exist at the start.
        """
        await self._reading.begin()
        self._tell_anothers()
        self._services.link.on_change(self._on_link)
        await self._begin()
        for digest in self._wanted.keys() - self._runners.keys():
            log.info("approved plan is not on the log yet, waiting", plan=digest.hex())
        self._caught_up = True
        self._services.spawn(self._presence.run())
        while True:
            for runner in self._runners.values():
                self._drain(runner)
            await self._reading.follow(wait_ms=WAIT_MS)
            await self._begin()

    def _tell_anothers(self) -> None:
        """Nothing would ever come: that is no waiting."""
        directory = self._services.directory
        if directory.is_anothers:
            log.error(
                "nothing on the log is by the registrar that is pinned here",
                registrar=directory.registrar_id,
                hint=ANOTHERS_HINT,
            )

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
            self._services.strangers.refused(entry, error)

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

    @property
    def left(self) -> bool:
        """Whether everything that was begun is settled, as far as it can be."""
        if not self._caught_up:
            return not self._services.store.undecided
        return all(runner.left for runner in self._runners.values())

    def states(self) -> tuple[StudyState, ...]:
        """How the studies stand, by name."""
        return tuple(sorted((runner.standing() for runner in self._runners.values()), key=lambda one: one.study))

    # beginning a study ---------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Follow every approved study that is new on the log; its task and data are loaded meanwhile."""
        new = self._new_plans()
        if not new:
            return
        for plan in new:
            runner = self._runners[plan.digest] = self._runner(plan)
            self._by_topic |= dict.fromkeys(runner.log.topics, runner)
            runner.take(self._wish)
        await self._reading.add({runner.study: runner.log.topics for runner in self._runners.values()})
        connected = self._services.link.connected
        for runner in self._runners.values():
            if self._reading.why_unread(runner.study):
                self._drain(runner)  # it is held before it could send anything
            runner.post(Linked(connected))

    def _new_plans(self) -> list[Plan]:
        """Approved plans that are not followed yet; mention once every plan that is not approved."""
        new = []
        for digest, (plan, _) in self._services.directory.plans.items():
            if digest in self._runners or digest in self._ignored:
                continue
            if self._approvals.approves(plan):
                new.append(plan)
                continue
            self._ignored.add(digest)
            approval = f'[[studies]] plan = "{digest.hex()}"'
            log.info("plan not approved, ignored", study=plan.study, title=plan.title, approve_by=approval)
        return new

    def _runner(self, plan: Plan) -> StudyRunner:
        study, only = self._wanted[plan.digest], len(self._wanted) == 1
        setup = Setup(self._services, plan, study, self._approvals, only=only, jitter=random.random)
        return StudyRunner(
            self._services,
            plan,
            setup,
            show=self._presence.show,
            show_trouble=self._presence.show_trouble,
            jitter=random.random,
        )
