"""Compute one version again from the bodies on the log, and say where the coordinator announced something else.

Knows:    which bodies a Request names, who signed them, how they open. The arithmetic is protocol.recompute.
Never:    imports the coordinator; writes anything.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audit.strict_log import AuditLog, read_audit_log
from protocol.digests import model_subject, record_digest, state_subject, update_subject
from protocol.fixed_point import Floats
from protocol.recompute import Contribution, Recomputed, recompute
from protocol.registrar_keys import RegistrarKeys
from protocol.roster_memory import RosterMemory
from protocol.sealing import ChunkOpener, OpeningKeys, open_body_box, open_epoch_box
from protocol.signing import verify, verify_update
from schemas import topics
from schemas.errors import FederationError, LocalError, PeerError
from schemas.records import (
    Announcement,
    BodyRef,
    CohortBody,
    Header,
    KeyState,
    KeyUse,
    Member,
    Offer,
    Request,
    RequestEntry,
    Signed,
)
from transport.bodies import BodyReader
from transport.errors import BodyGone
from transport.reading.plain import plain_chunks, whole_body
from transport.settings import KafkaSettings
from transport.staying.link import Link

Keys = Mapping[tuple[str, bytes], bytes]  # (member, key_id) -> Ed25519 public key


@dataclass(frozen=True, slots=True)
class Audit:
    """What came out: `differences` names the fields of the Announcement that are not what the bodies give."""

    announced: Announcement
    request: Request
    computed: Recomputed
    differences: tuple[str, ...]


class Auditor:
    """Reads one study with one member's opening keys: the coordinator's, or those of an auditor the plan names."""

    def __init__(
        self, settings: KafkaSettings, registrar: bytes, opening: OpeningKeys, memory: RosterMemory | None = None
    ) -> None:
        """`memory` is of the newest roster met: a log that is older is not audited."""
        self._settings, self._registrar, self._opening, self._memory = settings, registrar, opening, memory
        self._link = Link(settings)
        self._reader = BodyReader(settings, self._link)

    async def close(self) -> None:
        await self._reader.close()

    async def check(self, study: str, version: int) -> Audit:
        """Recompute `version`. Raises LocalError when it cannot be (no such version, wrong key, bodies aged out)."""
        return await self.check_version(await self.read(study), version)

    async def read(self, study: str) -> AuditLog:
        """Read and check the study's log, once for any number of versions. Raises as `read_audit_log` does."""
        return await read_audit_log(self._settings, self._link, self._registrar, study, self._opening, self._memory)

    async def check_version(self, log: AuditLog, version: int) -> Audit:
        """Recompute one version of a log that was read. Raises as `check` does."""
        announced = log.made.get(version)
        if announced is None and version > max(log.made, default=-1):
            newest = f"the newest is {max(log.made)}" if log.made else "there is none yet"
            raise LocalError(f"version {version} of {log.plan.study} is not announced: {newest}", hint=_still(log))
        if announced is None or announced.request is None:
            raise LocalError(
                f"version {version} of {log.plan.study} is not the work of a cohort",
                hint=_still(log),
            )
        request, base = log.requests[announced.request], log.made[version - 1]
        try:
            model = await self._model(log, base)
            state = await self._state(log, base)
            offers = await self._offers(log, request)
            computed = await self._compute(log, request, offers, model, state)
        except BodyGone as error:
            raise LocalError(f"version {version} cannot be recomputed any more: {error}", hint=_still(log)) from None
        return Audit(announced, request, computed, computed.differences(announced))

    async def _model(self, log: AuditLog, base: Announcement) -> Floats:
        key = log.epoch_keys.get(base.key_epoch)
        if key is None:
            raise LocalError(
                f"this key opens no study key of epoch {base.key_epoch}",
                hint="use the opening key of the coordinator, or of an auditor that the plan names and that was on the "
                "roster when the version was made",
            )
        study, body = log.plan.study, base.model.body
        opener = ChunkOpener(open_epoch_box(key, body.boxes), model_subject(study, base.version), body.count)
        return _floats(await whole_body(self._reader, topics.models(study), base.model, opener))

    async def _state(self, log: AuditLog, base: Announcement) -> Floats | None:
        if base.state is None:
            return None
        study, body = log.plan.study, base.state.body
        subject = state_subject(study, base.version)
        opener = ChunkOpener(self._body_key(body, subject), subject, body.count)
        return _floats(await whole_body(self._reader, topics.models(study), base.state, opener))

    async def _offers(self, log: AuditLog, request: Request) -> list[Offer]:
        """The cohort's offers as their sites signed them, from the body that the Request names."""
        packed = await whole_body(self._reader, topics.models(request.study), request.cohort, None)
        try:
            cohort = CohortBody.from_bytes(bytes(packed))
        except PeerError as error:
            raise PeerError(f"the cohort body of the Request cannot be read: {error}") from None
        signed = [Signed.from_bytes(offer) for offer in cohort.offers]
        members = [Signed.from_bytes(member) for member in cohort.members]
        keys = _cohort_keys(log.registrar, request, Signed.from_bytes(cohort.roster), members)
        if len(signed) != len(request.entries):
            raise PeerError("the cohort body has another number of offers than the Request")
        return [_offer(value, entry, keys) for value, entry in zip(signed, request.entries, strict=True)]

    async def _compute(
        self, log: AuditLog, request: Request, offers: list[Offer], model: Floats, state: Floats | None
    ) -> Recomputed:
        """The arithmetic runs in a thread and pulls one chunk at a time through this loop: memory stays at the sum."""
        loop = asyncio.get_running_loop()

        def contributions() -> Iterator[Contribution]:
            for entry, offer in zip(request.entries, offers, strict=True):
                yield Contribution(offer.header, offer.body.chunk_digests, pulled(self._update(entry.site, offer)))

        def pulled(chunks: AsyncIterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
            async def following() -> tuple[int, bytes] | None:
                return await anext(chunks, None)

            while (item := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
                yield item

        return await asyncio.to_thread(recompute, log.plan, request, contributions(), model, state)

    def _update(self, site: str, offer: Offer) -> AsyncIterator[tuple[int, bytes]]:
        subject = update_subject(offer.header)
        opener = ChunkOpener(self._body_key(offer.body, subject), subject, offer.body.count)
        return plain_chunks(self._reader, topics.bodies(site), offer.body, opener)

    def _body_key(self, body: BodyRef, subject: bytes) -> bytes:
        try:
            return open_body_box(self._opening, body.boxes, subject)
        except FederationError as error:
            readers = ", ".join(box.name for box in body.boxes)
            raise LocalError(f"this key does not open the body: {error}", hint=f"it is sealed to {readers}") from None


def _cohort_keys(registrar: RegistrarKeys, request: Request, roster: Signed, members: Sequence[Signed]) -> Keys:
    """Signing keys by (member, key_id) as they stood when the Request was made; revoked ones are none."""
    if record_digest(roster.payload) != request.roster:
        raise PeerError("the cohort body holds another roster than the Request names")
    listed = dict(registrar.roster(roster).members)
    keys: dict[tuple[str, bytes], bytes] = {}
    for one in members:
        member = registrar.verify(one, Member)
        if listed.get(member.name) != record_digest(one.payload):
            raise PeerError(f"the cohort body's record of {member.name} is not the one on its roster")
        for key in member.keys:
            if key.use == KeyUse.SIGN and key.state != KeyState.REVOKED:
                keys[member.name, key.key_id] = key.public
    return keys


def _offer(signed: Signed, entry: RequestEntry, keys: Keys) -> Offer:
    """One offer of a cohort, its two signatures checked, and that it is the one the Request names."""

    def key(key_id: bytes) -> bytes:
        if (entry.site, key_id) not in keys:
            raise PeerError(f"the offer of {entry.site} is signed with a key that its member record does not list")
        return keys[entry.site, key_id]

    offer = verify(signed, Offer, key(signed.key_id))
    header = Header.from_bytes(offer.header)
    verify_update(offer.header, offer.boxes, offer.update_signature, key(header.signing_key))
    if record_digest(offer.header) != entry.header:
        raise PeerError(f"the offer of {entry.site} in the cohort body is not the one the Request names")
    return offer


def _still(log: AuditLog) -> str:
    """Which versions can be recomputed: those whose base is one of the newest that the plan keeps."""
    newest, kept = max(log.made, default=0), log.plan.storage.versions_kept
    if newest < 1:
        return "no cohort has made a version yet"
    oldest = max(1, newest - kept + 2)
    which = f"version {newest} can" if oldest >= newest else f"versions {oldest} to {newest} can"
    return (
        f"{which} while the updates are kept: the plan keeps the newest {kept} versions, and each is made from the one "
        "before it; the chain of digests stays for ever"
    )


def _floats(body: bytearray) -> Floats:
    if len(body) % 4:
        raise PeerError(f"a body of {len(body)} bytes is no vector of float32")
    return np.frombuffer(body, "<f4")
