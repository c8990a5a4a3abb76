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
from protocol.round_records import Ground, first_version, request_of, version_again, version_of_cohort
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
    KeyBox,
    Receipt,
    Request,
    Stop,
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
        own, membership = self._services.name, self._services.membership
        readers = {own: membership.opening_key(own), **membership.openers(self._plan.storage.auditors)}
        boxes = tuple(body_box(one.public, name, one.key_id, subject, key) for name, one in readers.items())
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
        return first_version(view, self._ground, model)

    def again(self, view: RoundsView, stop: Stop) -> Announcement:
        """The newest version once more: under a new epoch, or as the last one."""
        newest = view.newest
        assert newest is not None
        return version_again(view, self._ground, newest, stop, self._boxed_anew(newest))

    def _boxed_anew(self, newest: Announcement) -> BodyAt:
        """Its model, boxed under the epoch that holds now."""
        model = newest.model
        if newest.key_epoch == self._epochs.current:
            return model
        key = open_epoch_box(self._epochs.key(newest.key_epoch), model.body.boxes)
        box = epoch_box(self._epochs.key(self._epochs.current), key)
        ref = model.body
        return BodyAt(model.digest, BodyRef(ref.partition, ref.size_bytes, ref.runs, ref.chunk_digests, (box,)))

    def request(self, view: RoundsView, chosen: Cohort, body: BodyAt) -> Request:
        return request_of(view, self._ground, chosen.entries, body)

    def announce(self, request: Request, close: Close, made: Made) -> Announcement:
        return version_of_cohort(
            request, self._ground, close, total=made.stepped.sum, model=made.model, state=made.state
        )

    async def commit(self, records: list[RoundsRecord], receipts: list[Receipt]) -> None:
        """One transaction. Records of `rounds` keep their order; receipts are keyed by site."""
        writes: list[Write] = [(self._rounds, self._sign(record), None) for record in records]
        topic = topics.receipts(self._plan.study)
        writes += [(topic, self._sign(receipt), receipt.site.encode()) for receipt in receipts]
        with self._services.metrics.transaction_s.labels(self._plan.study).time():
            await self._services.transactions.write(writes)

    def _sign(self, record: Record) -> bytes:
        return self._services.signer.sign(record).to_bytes()

    @property
    def _ground(self) -> Ground:
        membership = self._services.membership
        return Ground(membership.serial, membership.digest, self._epochs.current)


def remove_quietly(path: Path | None) -> None:
    """Forget a vector that is on the log or of no use any more."""
    if path is not None:
        path.unlink(missing_ok=True)
