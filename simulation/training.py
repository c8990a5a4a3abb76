"""What a simulated site's trainer is at: it measures, trains, or makes the local baseline; one thing at a time.

Source: participant/training/client.py and the jobs in participant/shell/jobs, which it stands for.
"""

from participant.core import events as seen
from simulation.clock import Timer, cancel
from simulation.fetching import Fetching
from simulation.outgoing import Outgoing
from simulation.premises import Premises
from simulation.records import Model
from simulation.setup import Setup
from simulation.store import DiskFull, alone_done, evaluated


class Training:
    """One life of a trainer; what was trained lies with `outgoing` until it is sealed."""

    def __init__(self, site: Premises, fetching: Fetching, outgoing: Outgoing, setup: Setup) -> None:
        self._site, self._fetching, self._outgoing, self._setup = site, fetching, outgoing, setup
        self._working: Timer | None = None
        self._training_since_ms: int | None = None
        self._alone_since_ms: int | None = None
        self._alone_left_ms = site.spec.train_ms  # what was done of it went with the trainer before

    def evaluate(self, version: int) -> None:
        site = self._site
        self._working = site.clock.after(site.spec.evaluate_ms, site, self._evaluated, self._fetching.of(version))

    def train(self, base_version: int) -> None:
        site, spec = self._site, self._site.spec
        took_ms = max(1, round(spec.train_ms * (1 + spec.spread * (2 * site.random.random() - 1))))
        self._training_since_ms = site.clock.now_ms
        self._working = site.clock.after(took_ms, site, self._trained, base_version, took_ms)

    def run_alone(self) -> None:
        site = self._site
        self._alone_since_ms = site.clock.now_ms
        self._working = site.clock.after(self._alone_left_ms, site, self._alone_ended)

    def stop(self) -> None:
        """Nothing will be heard of it. What was done of a baseline is kept."""
        site, now_ms = self._site, self._site.clock.now_ms
        cancel(self._working)
        if self._training_since_ms is not None:
            site.scene.story.stopped(site.name, now_ms - self._training_since_ms)
            self._training_since_ms = None
        if self._alone_since_ms is not None:
            self._alone_left_ms -= now_ms - self._alone_since_ms
            self._alone_since_ms = None

    def _evaluated(self, model: Model) -> None:
        site, trouble = self._site, self._site.trouble
        if trouble.measuring_fails:
            trouble.measuring_fails -= 1
            site.post(seen.EvaluationFailed(model.version, site.spec.evaluate_ms))
            return
        value = site.scene.vectors.measure(site.name, model)
        try:
            site.store.flush()
        except DiskFull:
            site.post(seen.EvaluationFailed(model.version))
            return
        if value is None:
            site.store.note(evaluated(model.version))
        else:
            site.scene.story.measured(site.name, model.version, *value)
            self._outgoing.evaluation(model, *value)
        site.post(seen.Evaluated(model.version))

    def _trained(self, base_version: int, took_ms: int) -> None:
        site, trouble = self._site, self._site.trouble
        self._training_since_ms = None
        if trouble.load_fails:  # a new trainer found the data gone
            trouble.load_fails -= 1
            self._setup.failed()
            site.post(seen.TrainingFailed(base_version, again=True, took_ms=took_ms))
            return
        if trouble.trainer_fails:
            trouble.trainer_fails -= 1
            site.post(seen.TrainingFailed(base_version, again=True))
            return
        if site.spec.judges:
            site.post(seen.TrainingFailed(base_version, again=False, took_ms=took_ms, ever=False))
            return
        self._outgoing.trained(site.scene.vectors.train(site.name, self._fetching.of(base_version)))
        site.scene.story.trained(site.name, base_version, took_ms)
        site.post(seen.Trained(base_version))

    def _alone_ended(self) -> None:
        site, self._alone_since_ms = self._site, None
        if site.trouble.trainer_fails:
            site.trouble.trainer_fails -= 1
            self._alone_left_ms = site.spec.train_ms
            site.post(seen.AloneEnded(False, took_ms=site.spec.train_ms))
            return
        site.later(alone_done)
        site.post(seen.AloneEnded(True))
