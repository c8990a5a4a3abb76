"""Fetch and verify a version."""

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.fetch import fetch_model
from participant.shell.jobs.job import Job, Slot
from protocol.digests import model_subject
from protocol.sealing import open_epoch_box
from schemas import topics
from schemas.errors import FederationError
from schemas.records import Announcement
from transport.errors import BodyGone

log = structlog.get_logger()


class Fetching(Job):
    """The newest one: it was announced when its core asked for it."""

    slot = Slot.FETCH

    async def do(self, effect: Effect) -> Event:
        assert isinstance(effect, do.Fetch)
        told, version = self._means.log.told, effect.version
        assert told is not None
        assert told.version == version
        try:
            await self._fetch(told)
        except (FederationError, BodyGone, OSError) as error:
            reason = self._means.failures.words(error)
            log.warning("version not fetched, trying again", study=self._study, version=version, reason=reason)
            return seen.FetchFailed(version)
        self._means.models.drop_others(version)
        metrics = self._means.services.metrics
        metrics.versions_fetched.labels(self._study).inc()
        metrics.version.labels(self._study).set(version)
        return seen.Fetched(version)

    @property
    def _study(self) -> str:
        return self._means.plan.study

    async def _fetch(self, announced: Announcement) -> None:
        means, version = self._means, announced.version
        means.models.drop_other_halves(version)
        epoch_key = await means.log.epoch_key(announced.key_epoch)
        await fetch_model(
            means.services.reader,
            topics.models(self._study),
            announced.model,
            body_key=open_epoch_box(epoch_key, announced.model.body.boxes),
            subject=model_subject(self._study, version),
            size_bytes=4 * means.plan.parameters,
            target=means.models.of(version),
            on_bytes=self._count,
        )

    def _count(self, size_bytes: int) -> None:
        services = self._means.services
        services.store.count(self._study, "bytes-down", size_bytes)
        services.metrics.bytes.labels(self._study, "down").inc(size_bytes)
