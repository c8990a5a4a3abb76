"""Writes a round: bodies first, then Request, Announcement and receipts in one transaction."""

from dataclasses import dataclass
from pathlib import Path

from coordinator.core.events import Close, Cohort
from coordinator.shell.epochs import Epochs
from coordinator.shell.growing import Growing
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.services import Services
from coordinator.shell.vectors import Stepped, Stored
from protocol.digests import BodyHasher, model_subject, record_digest, state_subject
from protocol.rounds import RoundsRecord, RoundsView
from protocol.sealing import (
    ChunkSealer,
    body_box,
    epoch_box,
    new_body_key,
    open_epoch_box,
)
from schemas import topics
from schemas.codec import Record
from schemas.plan import Plan
from schemas.records import (
    CHUNK_BYTES,
    Announcement,
    BodyAt,
    BodyRef,
    CohortBody,
    Failed,
    KeyBox,
    Receipt,
    Request,
    Stop,
    Summary,
)
from transport.bodies import Runs

Write = tuple[str, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the sealed chunks of a vector lie, and the boxes of its key; its digests may be known later."""

    runs: Runs
    boxes: tuple[KeyBox, ...]

    def at(self, stored: Stored) -> BodyAt:
        """The reference to `stored`, the vector that lies there."""
        return BodyAt(stored.digest, BodyRef(0, stored.size_bytes, self.runs, stored.chunk_digests, self.boxes))


@dataclass(frozen=True, slots=True)
class Made:
    """What a round made, and where its bodies lie."""

    stepped: Stepped
    model: BodyAt
    state: BodyAt | None
    cohort: BodyAt | None  # None where the Request is on the log already


class Publisher:
    """Everything that one study writes."""

    def __init__(self, services: Services, plan: Plan, epochs: Epochs) -> None:
        self._services = services
        self._plan = plan
        self._epochs = epochs
        self._models = topics.models(plan.study)
        self._rounds = topics.rounds(plan.study)

    async def model(self, version: int, file: Growing) -> Placed:
        """Upload a model, its key boxed under the current epoch's key."""
        key, subject = new_body_key(), model_subject(self._plan.study, version)
        return await self._sealed(file, key, subject, (epoch_box(self._epochs.key(self._epochs.current), key),))

    async def state(self, version: int, file: Growing) -> Placed:
        """Upload an optimiser state, sealed to the coordinator itself and to the plan's auditors."""
        key, subject = new_body_key(), state_subject(self._plan.study, version)
        own, auditors = self._services.opening, self._services.membership.openers(self._plan.storage.auditors)
        readers = {name: (one.public, one.key_id) for name, one in auditors.items()}
        readers = {self._services.name: (own.public, own.key_id), **readers}
        boxes = tuple(body_box(public, name, key_id, subject, key) for name, (public, key_id) in readers.items())
        return await self._sealed(file, key, subject, boxes)

    async def cohort(self, offers: list[VerifiedOffer]) -> BodyAt:
        """Upload what explains a Request without the sites' topics: roster, members, offers as they were signed."""
        services = self._services
        membership = services.membership
        names = sorted({services.name, *self._plan.masking.trustees, *(one.fact.site for one in offers)})
        digests = [record_digest(membership.members[name].to_bytes()) for name in names]
        body = CohortBody(
            services.directory.signed(membership.digest),
            tuple(services.directory.signed(digest) for digest in digests),
            tuple(one.signed for one in offers),
        ).to_bytes()
        hasher = BodyHasher()
        hasher.update(body)
        digest, chunk_digests = hasher.finish()
        count = len(chunk_digests) // 32
        runs = await services.bodies.upload(
            self._models, count, lambda i: body[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
        )
        return BodyAt(digest, BodyRef(0, len(body), runs, chunk_digests, ()))

    async def _sealed(self, file: Growing, key: bytes, subject: bytes, boxes: tuple[KeyBox, ...]) -> Placed:
        sealer = ChunkSealer(key, subject, file.count)
        try:
            runs = await self._services.bodies.upload(
                self._models, file.count, lambda index: sealer.seal(index, file.chunk(index)), ready=file.ready
            )
        finally:
            file.close()
        self._services.metrics.model_bytes.labels(self._plan.study).inc(file.size_bytes)
        return Placed(runs, boxes)

    def first(self, view: RoundsView, model: BodyAt) -> Announcement:
        """The Announcement of version 0."""
        return self._announcement(view, index=0, previous=view.previous, version=0, model=model)

    def again(self, view: RoundsView, stop: Stop) -> Announcement:
        """The newest version once more: under a new epoch, or as the last one."""
        newest = view.newest
        assert newest is not None
        model = newest.model
        if newest.key_epoch != self._epochs.current:
            key = open_epoch_box(self._epochs.key(newest.key_epoch), model.body.boxes)
            box = epoch_box(self._epochs.key(self._epochs.current), key)
            ref = model.body
            model = BodyAt(model.digest, BodyRef(ref.partition, ref.size_bytes, ref.runs, ref.chunk_digests, (box,)))
        return self._announcement(
            view, index=view.next_index, previous=view.previous, version=newest.version, model=model,
            state=newest.state, patience=newest.patience, stop=stop,
        )  # fmt: skip

    def request(self, view: RoundsView, chosen: Cohort, body: BodyAt) -> Request:
        membership = self._services.membership
        return Request(
            study=self._plan.study,
            index=view.next_index,
            previous=view.previous,
            version=view.version,
            plan=view.plan,
            roster_serial=membership.serial,
            roster=membership.digest,
            entries=chosen.entries,
            cohort=body,
            after_refusal=None,
        )

    def announce(self, view: RoundsView, close: Close, request: Request, made: Made) -> Announcement:
        digest = record_digest(request.to_bytes())
        return self._announcement(
            view, index=request.index + 1, previous=digest, version=close.version, model=made.model,
            state=made.state, request=digest, total=made.stepped.sum, n=len(close.entries), sum_w=close.sum_w,
            evaluations=close.evaluations, patience=close.patience, stop=close.stop, summary=close.summary,
        )  # fmt: skip

    def failed(self, chosen: Cohort, request: Request, code: str) -> Failed:
        digest = record_digest(request.to_bytes())
        names = tuple(entry.site for entry in chosen.entries)
        return Failed(self._plan.study, request.index + 1, digest, digest, code, names)

    async def commit(self, records: list[RoundsRecord], receipts: list[Receipt]) -> None:
        """One transaction. Records of `rounds` keep their order; receipts are keyed by site."""
        writes: list[Write] = [(self._rounds, self._sign(record), None) for record in records]
        topic = topics.receipts(self._plan.study)
        writes += [(topic, self._sign(receipt), receipt.site.encode()) for receipt in receipts]
        with self._services.metrics.transaction_s.labels(self._plan.study).time():
            await self._services.transactions.write(writes)

    def _sign(self, record: Record) -> bytes:
        return self._services.signing.sign(record).to_bytes()

    def _announcement(
        self,
        view: RoundsView,
        *,
        index: int,
        previous: bytes,
        version: int,
        model: BodyAt,
        state: BodyAt | None = None,
        request: bytes | None = None,
        total: bytes | None = None,
        n: int = 0,
        sum_w: int = 0,
        evaluations: tuple[tuple[str, bytes], ...] = (),
        patience: int = 0,
        stop: Stop = Stop.NONE,
        summary: Summary | None = None,
    ) -> Announcement:
        membership = self._services.membership
        return Announcement(
            study=view.study, index=index, previous=previous, version=version, plan=view.plan,
            roster_serial=membership.serial, roster=membership.digest, key_epoch=self._epochs.current,
            request=request, partial_sums=(), sum=total, n=n, sum_w=sum_w, model=model, state=state,
            evaluations=evaluations, patience=patience, stop=int(stop), final=stop is not Stop.NONE, summary=summary,
        )  # fmt: skip


def remove_quietly(path: Path | None) -> None:
    """Forget a vector that is on the log or of no use any more."""
    if path is not None:
        path.unlink(missing_ok=True)
