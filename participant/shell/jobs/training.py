"""Train from a version; what comes of it is a file without a name, until it is sealed."""

import tempfile

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.failures import took_ms
from participant.shell.jobs.job import Job
from participant.training.client import training_seed
from participant.training.errors import TrainerRefusedError
from participant.training.reasons import Reason
from schemas.errors import FederationError

log = structlog.get_logger()


class Training(Job):
    """A piece of learning."""

    async def do(self, effect: Effect) -> Event:
        assert isinstance(effect, do.Train)
        means, study, base_version = self._means, self._means.plan.study, effect.base_version
        services, limit_s = means.services, float(means.plan.training.time_limit_s)
        try:
            means.update = update = tempfile.TemporaryFile(dir=services.scratch, buffering=0)  # noqa: SIM115  # closed with its last owner
            seconds = await services.trainer.train(
                study,
                base=means.models.of(base_version),
                out=update,
                training=means.training,
                seed=training_seed(means.plan, services.name, base_version, effect.attempt),
                limit_s=means.silence_s,
                total_s=limit_s + means.silence_s,
            )
        except (FederationError, OSError) as error:
            return self._failed(error, base_version)
        services.metrics.training_s.labels(study).observe(seconds)
        services.store.count(study, "train-seconds", seconds)
        return seen.Trained(base_version)

    def _failed(self, error: Exception, base_version: int) -> seen.TrainingFailed:
        reason, study = (error.reason if isinstance(error, TrainerRefusedError) else None), self._means.plan.study
        ever, again = reason is not Reason.NOBODY, reason not in (Reason.NUMBERS, Reason.NOBODY)
        if ever:
            self._means.failures.say("training failed", error, version=base_version)
        else:
            log.warning("no training patients here: this site judges versions and sends no update", study=study)
        return seen.TrainingFailed(base_version, again, took_ms(error), ever)
