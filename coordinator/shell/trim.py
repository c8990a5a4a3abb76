"""Keeps `models` short: the newest `versions_kept` versions stay, with the bodies that explain them; older ones go."""

import asyncio
from collections import deque
from collections.abc import Iterable

import structlog

from coordinator.core.replay import first_offset
from coordinator.shell.services import Services
from schemas import topics
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.records import Announcement, Request

PERIOD_S = 2.0
AGAIN_S = 30.0

log = structlog.get_logger()


class Trimmer:
    """Trims at most once in `PERIOD_S`, off the path of a round. What a crash leaves behind goes with the next trim."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._topic = topics.models(plan.study)
        self._firsts: deque[int] = deque(maxlen=plan.storage.versions_kept)
        self._kept = plan.storage.versions_kept
        self._wanted = asyncio.Event()

    def restored(self, firsts: Iterable[int]) -> None:
        """`first_offset` of the newest versions on the log, in order: coordinators may change more often than these."""
        self._firsts.extend(firsts)
        self._want()

    def announced(self, announcement: Announcement, request: Request) -> None:
        """A version is on the log."""
        self._firsts.append(first_offset(announcement, request))
        self._want()

    def _want(self) -> None:
        if len(self._firsts) == self._kept:
            self._wanted.set()

    async def run(self) -> None:
        """Until cancelled. A broker that refuses is no reason to stop learning: it is said, and tried again."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._services.admin.trim(self._topic, self._firsts[0])
            except LocalError as error:
                log.error("old versions stay on the log and fill its disk", reason=str(error), hint=error.hint)
                self._wanted.set()
                await asyncio.sleep(AGAIN_S)
            else:
                await asyncio.sleep(PERIOD_S)
