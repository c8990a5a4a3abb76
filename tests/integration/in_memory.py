"""A synchronous federation in memory: the coordinator's core, the protocol's arithmetic, a real task; no Kafka."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.core.events import (
    Add,
    BodyReady,
    Close,
    Committed,
    Effect,
    Event,
    Fetch,
    OfferFact,
    SitesChanged,
    Stepped,
)
from coordinator.core.study import StudyCore
from coordinator.shell.vectors import RunningSum, take_step
from learning.entry import load_task
from learning.settings import settings_of
from learning.task import DataSource, SiteData
from protocol.digests import digest_of, record_digest
from protocol.fixed_point import Encoding, Words, encode
from protocol.server_step import step_of
from registry.plans.authoring import AuthoredPlan
from schemas.plan import Plan

Vector = NDArray[np.float32]


class InMemory:
    """All sites train on every version; `versions()` yields (version, model)."""

    def __init__(self, authored: AuthoredPlan, folder: Path) -> None:
        self.plan: Plan = authored.plan
        self._digest = self.plan.digest
        self._encoding = Encoding.from_plan(self.plan)
        self._step = step_of(self.plan)
        self._folder = folder
        self._model = folder / "model-0.f32"
        self._model.write_bytes(authored.initial.tobytes())
        self._sum = RunningSum(self._encoding)
        self._bodies: dict[str, Words] = {}
        self._task = load_task(self.plan.task.entry)
        options = dict(self.plan.task.options)
        self._data = {site: self._task.load(DataSource(site, options=options)) for site in authored.sites}
        self._core = StudyCore(self.plan, version=0, models={0: self.plan.initial}, now_ms=0)
        self._tell(SitesChanged(frozenset(authored.sites)))

    def versions(self) -> Iterator[tuple[int, Vector]]:
        """Version 0, then each next one, until the plan's stop rule ends the study."""
        yield 0, self._vector()
        while not self._core.final:
            base, model = self._core.version, self._vector()
            for number, (site, data) in enumerate(self._data.items()):
                self._offer(site, data, model, sequence=base + 1, offset=base * len(self._data) + number)
            assert self._core.version == base + 1
            yield self._core.version, self._vector()

    def _vector(self) -> Vector:
        return np.fromfile(self._model, "<f4")

    def _offer(self, site: str, data: SiteData, base: Vector, *, sequence: int, offset: int) -> None:
        plan = self.plan
        update = self._task.train(
            base, data, settings_of(plan), seed=sequence, progress=lambda _: None, cancelled=lambda: False
        )
        share = self._task.examples(data) / plan.aggregation.examples_max if plan.aggregation.examples else 1.0
        auxiliary = {plan.aggregation.examples: share} if plan.aggregation.examples else None
        encoded = encode(update, self._encoding, auxiliary)
        assert not encoded.clipped
        self._bodies[site] = np.concatenate(list(encoded.blocks()))
        self._tell(
            OfferFact(
                site=site, offset=offset, sequence=sequence, header=record_digest(f"{site} {sequence}".encode()),
                base_version=self._core.version, base_digest=digest_of([base.data.cast("B")]),
                plan=self._digest, d=plan.d, size_bytes=plan.body_bytes,
                cohort_min=plan.aggregation.cohort_min, trustees=0,
            )
        )  # fmt: skip

    def _tell(self, event: Event) -> None:
        for effect in self._core.on(event, 0):
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Fetch():
                self._tell(BodyReady(effect.offer.site, effect.offer.sequence, effect.number))
            case Add():
                self._sum.add(self._bodies[effect.offer.site], effect.weight)
            case Close():
                new = self._folder / f"model-{effect.version}.f32"
                stepped = take_step(
                    self._sum, self._step, n=len(effect.entries), sum_w=effect.sum_w, model=self._model, state=None,
                    out=new, out_state=self._folder / "state",
                )  # fmt: skip
                self._model.unlink()
                self._model = new
                self._sum.clear()
                self._tell(Stepped())
                self._tell(Committed(effect.version, stepped.model.digest))
