"""A scripted site: signs and seals real updates by hand, one from each version, and offers them until they count.

Knows:    what it offers is a function of its name and the version alone, so that every history can be told beforehand.
"""

import asyncio
from hashlib import sha256

import numpy as np

from protocol.digests import BodyHasher, update_subject
from protocol.fixed_point import Encoding, Floats, encode
from protocol.sealing import ChunkSealer, body_box, new_body_key
from protocol.written import read_receipt, read_rounds
from schemas import topics
from schemas.records import Announcement, BodyRef, Header, Offer, Outcome, Receipt
from simulation.ports.federation import COORDINATOR, Federation, keys_of

LOOK_S = 0.2


def update_of(site: str, version: int, parameters: int) -> Floats:
    """What a site learns from a version: float32 (p,), shorter than the plan's clip."""
    seed = int.from_bytes(sha256(f"{site}/{version}".encode()).digest()[:8], "big")
    return (np.random.default_rng(seed).uniform(-1, 1, parameters) / (2 * parameters)).astype(np.float32)


class Site:
    """`run` until the study is over."""

    def __init__(self, federation: Federation, name: str) -> None:
        self._federation, self._name = federation, name
        self._log, self._plan = federation.log, federation.plan
        self._worked: dict[int, int] = {}  # base version -> sequence of the update that stands for it
        self._offered: dict[int, Announcement] = {}
        self._sequence = 0

    async def run(self) -> None:
        """Offer an update from each newest version; once more what came to nothing."""
        while True:
            newest = self._newest()
            if newest is not None and newest.final:
                return
            if newest is not None and newest.version not in self._worked:
                self._offer(newest)
            receipt = self._receipt()
            if receipt is not None and receipt.outcome in (Outcome.AGAIN, Outcome.VOID):
                self._anew(receipt)
            await asyncio.sleep(LOOK_S)

    def _newest(self) -> Announcement | None:
        membership, study = self._federation.directory.membership, self._plan.study
        records = (read_rounds(one.value, membership, study) for one in self._log.committed([topics.rounds(study)]))
        return max((one for one in records if isinstance(one, Announcement)), key=lambda one: one.index, default=None)

    def _receipt(self) -> Receipt | None:
        """The newest one of this site."""
        membership, study = self._federation.directory.membership, self._plan.study
        entries = [one for one in self._log.committed([topics.receipts(study)]) if one.key == self._name.encode()]
        return read_receipt(entries[-1].value, membership, study) if entries else None

    def _anew(self, receipt: Receipt) -> None:
        for version, sequence in list(self._worked.items()):
            if sequence == receipt.sequence:
                self._offer(self._offered[version])

    def _offer(self, base: Announcement) -> None:
        self._sequence += 1
        self._worked[base.version], self._offered[base.version] = self._sequence, base
        keys, plan = keys_of(self._name), self._plan
        encoded = encode(update_of(self._name, base.version, plan.parameters), Encoding.from_plan(plan))
        body = b"".join(block.tobytes() for block in encoded.blocks())
        hasher = BodyHasher()
        hasher.update(body)
        digest, chunk_digests = hasher.finish()
        header = Header(
            study=plan.study, site=self._name, signing_key=keys.signing.key_id, sequence=self._sequence,
            plan=plan.digest, base_version=base.version, base_digest=base.model.digest, trustees=(), d=plan.d,
            payload_digest=digest, cohort_min=plan.aggregation.cohort_min,
        )  # fmt: skip
        payload = header.to_bytes()
        subject, key = update_subject(payload), new_body_key()
        offset = self._log.append(topics.bodies(self._name), ChunkSealer(key, subject, 1).seal(0, body))
        opening = keys_of(COORDINATOR).opening
        box = body_box(opening.public, COORDINATOR, opening.key_id, subject, key)
        ref = BodyRef(0, len(body), ((offset, 1),), chunk_digests, (box,))
        offer = Offer(payload, (), keys.signing.sign_update(payload, ()), ref)
        self._log.append(topics.offers(self._name), keys.signing.sign(offer).to_bytes())
