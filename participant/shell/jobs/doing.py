"""Begins and stops the jobs of one study, each as a task of the event loop, by what its core asks for."""

import asyncio
from collections.abc import Callable

from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.jobs import JOBS, STOPS
from participant.shell.jobs.job import Job, Means, Slot


class Doing:
    """`tell` hears what came of each job; of one that was stopped nothing."""

    def __init__(self, means: Means, tell: Callable[[Event], None]) -> None:
        self._spawn, self._tell = means.services.spawn, tell
        self._jobs = {effect: job(means) for effect, job in JOBS.items()}
        self._tasks: dict[Slot, asyncio.Task[None]] = {}

    def take(self, effect: Effect) -> bool:
        """Do it, or stop what is done; False when it is no job's."""
        kind = type(effect)
        if (job := self._jobs.get(kind)) is not None:
            self._tasks[job.slot] = self._spawn(self._do(job, effect))
        elif (slot := STOPS.get(kind)) is not None:
            if (task := self._tasks.get(slot)) is not None:
                task.cancel()
        else:
            return False
        return True

    async def _do(self, job: Job, effect: Effect) -> None:
        fact = await job.do(effect)
        if fact is not None:
            self._tell(fact)
