"""Measure a version, and let out what policy allows."""

import sqlite3

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell import database
from participant.shell.failures import took_ms
from participant.shell.jobs.job import Job
from schemas.errors import FederationError


class Evaluating(Job):
    """The last version with the primary metric's bootstrap interval."""

    async def do(self, effect: Effect) -> Event:
        assert isinstance(effect, do.Evaluate)
        means, version = self._means, effect.version
        final = means.log.view.final
        try:
            values = await means.services.trainer.evaluate(
                means.plan.study,
                vector=means.models.of(version),
                resamples=means.plan.evaluation.bootstrap if final else 0,
                seed=means.plan.seed,
                limit_s=means.silence_s,
            )
            await means.out.evaluation(version, means.digest(version), values, with_alone=final)
        except (FederationError, OSError, sqlite3.Error) as error:
            if database.is_damage(error):
                raise
            means.failures.say("evaluation failed", error, version=version)
            return seen.EvaluationFailed(version, took_ms(error))
        return seen.Evaluated(version)
