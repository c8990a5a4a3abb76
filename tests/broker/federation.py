"""A small federation for tests: members and a study on a real broker, a coordinator in this process, scripted sites.

A scripted site does by hand what a participant does, so that a test can do any step of it wrongly.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from coordinator.app import serve
from coordinator.settings import Settings
from protocol.digests import BodyHasher, digest_of, model_subject, record_digest, update_subject
from protocol.evaluations import evaluation_of
from protocol.fixed_point import Encoding, encode
from protocol.sealing import ChunkOpener, ChunkSealer, OpenKey, body_box, new_body_key, open_epoch_box, open_epoch_key
from protocol.signing import SigningKey
from protocol.written import ForeignError, read_epoch_key, read_receipt, read_rounds
from registry.keyfiles import MemberCard, make_member_keys, make_registrar_keys, read_card
from registry.members import NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import certify, install_beside, registrar_tls
from registry.registrar import Registrar
from runtime.sections import Kafka, Keys, Metrics
from schemas import topics
from schemas.plan import Plan
from schemas.records import (
    CHUNK_BYTES,
    Announcement,
    AskAgain,
    BodyRef,
    EpochKey,
    Failed,
    Header,
    Offer,
    Receipt,
    Request,
    Role,
)
from schemas.roster import Membership
from tests.broker.access import authority, reach
from tests.schemas.plans import PLAN, changed
from transport.bodies import BodyReader, BodyWriter
from transport.reading.log import Entry, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

Vector = NDArray[np.float32]
PATIENCE_S = 90.0
T = TypeVar("T")


def small_plan(study: str, *, sites: int, parameters: int = 8, versions: int = 1000, **parts: Any) -> Plan:
    """A plan for `parameters` numbers that start at zero: goal = minimum = all sites unless `aggregation` says else."""
    aggregation = {"goal": sites, "minimum": sites, "cohort_min": 1, "cohort_max": 10, "deadline_ms": 0}
    return changed(
        study=study,
        sites_expected=sites,
        parameters=parameters,
        initial=digest_of([bytes(4 * parameters)]),
        aggregation={**aggregation, **parts.pop("aggregation", {})},
        stop=replace(PLAN.stop, **{"versions": versions, **parts.pop("stop", {})}),
        **parts,
    )


@dataclass(slots=True)
class Federation:
    """A study on the broker, and the keys of everybody."""

    folder: Path
    bootstrap: str
    plan: Plan
    registrar: SigningKey
    membership: Membership
    sites: "dict[str, Site]"
    kafka: KafkaSettings
    link: Link
    writer: Writer
    reader: BodyReader
    metrics_port: int = 0

    def settings(self, bootstrap: str | None = None) -> Settings:
        """The coordinator's settings; its data folder is kept over restarts."""
        return Settings(
            name="coordinator",
            data_dir=self.folder / "coordinator",
            kafka=Kafka(bootstrap or self.bootstrap, tls=self.folder / "coordinator.tls"),
            keys=Keys(
                self.folder / "coordinator.sign", self.folder / "coordinator.open", self.folder / "registrar.pub"
            ),
            metrics=Metrics(port=self.metrics_port),
        )

    @contextlib.asynccontextmanager
    async def coordinator(self) -> AsyncIterator["asyncio.Task[None]"]:
        """A coordinator in this process, ended (as abruptly as a task can be) with the block."""
        task = asyncio.create_task(serve(self.settings()))
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def rounds(self) -> list[Announcement | Request | Failed]:
        """Every record of `rounds` that a coordinator wrote, in order."""
        found = await self._written(topics.rounds(self.study), read_rounds)
        return [record for record in found if not isinstance(record, AskAgain)]

    async def announcements(self) -> list[Announcement]:
        return [record for record in await self.rounds() if isinstance(record, Announcement)]

    async def receipts(self, site: str) -> list[Receipt]:
        """Every receipt of a site that compaction has left, in order."""
        found = await self._written(topics.receipts(self.study), read_receipt)
        return [receipt for receipt in found if receipt.site == site]

    async def epoch_keys(self) -> list[EpochKey]:
        """Every epoch key that compaction has left, in order."""
        return await self._written(topics.keys(self.study), read_epoch_key)

    async def _written(self, topic: str, read: Callable[[bytes | None, Membership, str], T]) -> list[T]:
        found: list[T] = []
        for entry in await self.read(topic):
            with contextlib.suppress(ForeignError):
                found.append(read(entry.value, self.membership, self.study))
        return found

    async def version(self, number: int) -> Announcement:
        """The Announcement of a version, waited for."""

        async def found() -> Announcement | None:
            announced = [one for one in await self.announcements() if one.version >= number]
            return announced[0] if announced else None

        return await self.until(found, f"version {number}")

    async def receipt(self, site: str, sequence: int) -> Receipt:
        """The receipt that decides an update, waited for."""

        async def found() -> Receipt | None:
            return next((one for one in await self.receipts(site) if one.sequence == sequence), None)

        return await self.until(found, f"receipt of {site} for {sequence}")

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Look again and again until something is there; a failed test after PATIENCE_S."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        while loop.time() < until_s:
            if (found := await look()) is not None:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{what} did not come within {PATIENCE_S:g} s")

    async def read(self, topic: str) -> list[Entry]:
        return await read_to_end(self.kafka, self.link, [topic])

    async def model(self, announced: Announcement) -> Vector:
        """A version's vector, opened as any site opens it."""
        site = next(iter(self.sites.values()))
        return await site.fetch(announced)

    @property
    def study(self) -> str:
        return self.plan.study

    async def close(self) -> None:
        await asyncio.gather(self.writer.close(), self.reader.close())


class Site:
    """A scripted site."""

    def __init__(self, federation: Federation, card: MemberCard) -> None:
        self.name = card.name
        self.federation = federation
        self.signing = SigningKey.load(federation.folder / f"{card.name}.sign")
        self.opening = OpenKey.load(federation.folder / f"{card.name}.open")
        self.sequence = 0

    async def fetch(self, announced: Announcement) -> Vector:
        """The announced model, float32 (p,)."""
        federation, study = self.federation, self.federation.study
        key = b""
        for record in await federation.epoch_keys():
            if record.member == self.name and record.epoch == announced.key_epoch:
                key = open_epoch_key(self.opening, record)
        body = announced.model.body
        opener = ChunkOpener(open_epoch_box(key, body.boxes), model_subject(study, announced.version), body.count)
        chunks = [chunk async for chunk in federation.reader.chunks(topics.models(study), body.runs)]
        plain = b"".join(opener.open(index, chunk) for index, chunk in enumerate(chunks))
        assert digest_of([plain]) == announced.model.digest
        return np.frombuffer(plain, "<f4")

    async def offer(self, base: Announcement, update: Vector, **wrong: Any) -> int:
        """Encode, seal, upload and offer an update; returns its sequence. `wrong` spoils single steps."""
        self.sequence += 1
        encoded = encode(update, Encoding.from_plan(self.federation.plan))
        body = b"".join(block.tobytes() for block in encoded.blocks())
        return await self.offer_body(base, body, **wrong)

    async def offer_body(self, base: Announcement, body: bytes, **wrong: Any) -> int:
        federation = self.federation
        hasher = BodyHasher()
        hasher.update(body)
        digest, chunk_digests = hasher.finish()
        header = Header(
            study=federation.study,
            site=wrong.get("site", self.name),
            signing_key=self.signing.key_id,
            sequence=wrong.get("sequence", self.sequence),
            plan=wrong.get("plan", federation.plan.digest),
            base_version=wrong.get("base_version", base.version),
            base_digest=wrong.get("base_digest", base.model.digest),
            trustees=(),
            d=wrong.get("d", federation.plan.d),
            payload_digest=wrong.get("payload_digest", digest),
            cohort_min=wrong.get("cohort_min", federation.plan.aggregation.cohort_min),
        )
        ref = await self._upload(header, body, chunk_digests, **wrong)
        payload = header.to_bytes()
        offer = Offer(payload, (), self.signing.sign_update(payload, ()), ref)
        value = self.signing.sign(offer).to_bytes()
        await self.send(wrong.get("value", lambda same: same)(value), wrong.get("topic"))
        return header.sequence

    async def send(self, value: bytes, topic: str | None = None) -> None:
        """Any bytes, on this site's offers topic."""
        await self.federation.writer.send(topic or topics.offers(self.name), value)

    async def evaluate(self, announced: Announcement, value: float, patients: int = 10) -> bytes:
        """Report the primary metric of a version; returns the record's digest."""
        plan = self.federation.plan
        values = {plan.evaluation.metric: value, plan.evaluation.weight: float(patients)}
        opener = OpenKey.load(self.federation.folder / "coordinator.open")
        readers = {"coordinator": opener.public}
        record = evaluation_of(plan.study, self.name, announced.version, announced.model.digest, values, readers)
        await self.send(self.signing.sign(record).to_bytes())
        return record_digest(record.to_bytes())

    async def _upload(self, header: Header, body: bytes, chunk_digests: bytes, **wrong: Any) -> BodyRef:
        federation = self.federation
        subject, key = update_subject(header.to_bytes()), new_body_key()
        count = len(chunk_digests) // 32
        sealer = ChunkSealer(key, subject, count)
        spoil = wrong.get("chunk", lambda _index, sealed: sealed)
        chunks = [
            spoil(index, sealer.seal(index, body[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]))
            for index in range(count)
        ]
        writer = BodyWriter(federation.kafka, federation.link, federation.writer)
        runs = await writer.upload(topics.bodies(self.name), count, chunks.__getitem__)
        readers = federation.membership.openers(("coordinator", *federation.plan.storage.auditors))
        subject = wrong.get("subject", subject)
        boxes = tuple(body_box(to.public, name, to.key_id, subject, key) for name, to in readers.items())
        size_bytes = wrong.get("size_bytes", len(body))
        return BodyRef(0, size_bytes, wrong.get("runs", runs), chunk_digests, boxes)


@contextlib.asynccontextmanager
async def federation(bootstrap: str, folder: Path, plan: Plan, sites: int) -> AsyncIterator[Federation]:
    """Keys, members and the study of `plan` on the broker; site names are unique to the study."""
    registrar = make_registrar_keys(folder)
    names = [f"{plan.study}-{number}" for number in range(sites)]
    roles = {"coordinator": Role.COORDINATOR, **dict.fromkeys(plan.storage.auditors, Role.AUDITOR)}
    cards = [make_member_keys(name, folder) for name in (*roles, *names)]
    registrar_tls(authority(), folder / "registrar.sign", utc_now())
    for card in cards:
        issued = certify(authority(), card, [roles.get(card.name, Role.SITE)], utc_now())
        install_beside(folder / f"{card.name}.pub", issued)
    kafka = reach(bootstrap, f"test-{plan.study}", fetch_wait_ms=50)
    async with Registrar(kafka, registrar) as office:
        await office.publish_members([NewMember(card, (roles.get(card.name, Role.SITE),)) for card in cards])
        await office.publish_roster()
        await office.create_study(plan, bytes(4 * plan.parameters))
        membership = office.membership
    assert membership is not None
    link = Link(kafka)
    one = Federation(
        folder, bootstrap, plan, registrar, membership, {}, kafka, link, Writer(kafka, link), BodyReader(kafka, link)
    )
    one.sites.update({card.name: Site(one, card) for card in cards[len(roles) :]})
    try:
        yield one
    finally:
        await one.close()


__all__ = ["Federation", "Site", "federation", "read_card", "small_plan"]
