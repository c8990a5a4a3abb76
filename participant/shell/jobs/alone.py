"""Train and measure the model that this site's patients give alone."""

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.failures import took_ms
from participant.shell.jobs.job import Job
from schemas.errors import FederationError


class Alone(Job):
    """What it finds is kept until it is sent with an evaluation."""

    async def do(self, effect: Effect) -> Event:
        assert isinstance(effect, do.RunAlone)
        means = self._means
        try:
            values = await means.services.trainer.alone(
                means.plan.study,
                training=means.training,
                resamples=means.plan.evaluation.bootstrap,
                seed=means.plan.seed,
                limit_s=means.silence_s,
            )
        except (FederationError, OSError) as error:
            means.failures.say("local baseline failed", error, version=None)
            return seen.AloneEnded(False, took_ms(error))
        means.out.keep_alone(values)
        return seen.AloneEnded(True)
