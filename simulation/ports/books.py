"""What must hold of a log, whoever wrote it and died: one chain, every update once, every version its own cohort's.

Knows:    every record as any reader gets it, and the updates that sites make; each version is computed once more.
Never:    looks into a coordinator.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from protocol.digests import digest_of, record_digest
from protocol.fixed_point import Encoding, encode
from protocol.recompute import Contribution, recompute
from protocol.rounds import RoundsRecord, RoundsView
from protocol.written import read_receipt, read_rounds
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Announcement, Header, Offer, Outcome, Receipt, Request, Signed
from simulation.ports.federation import Federation
from simulation.ports.site import update_of
from simulation.verdict import Broken

Name = tuple[str, int]  # (site, sequence)


@dataclass(frozen=True, slots=True)
class Books:
    """Everything decided, in order; `offered` is what sites have signed, by the digest of its header."""

    plan: Plan
    rounds: tuple[RoundsRecord, ...]
    receipts: dict[str, Receipt]
    offered: dict[bytes, Offer]

    @classmethod
    def of(cls, federation: Federation) -> "Books":
        """As a reader of the log finds them now."""
        log, study, membership = federation.log, federation.plan.study, federation.directory.membership
        receipts = (read_receipt(one.value, membership, study) for one in log.committed([topics.receipts(study)]))
        signed = log.committed([topics.offers(site) for site in federation.sites])
        offers = (Offer.from_bytes(Signed.from_bytes(one.value or b"").payload) for one in signed)
        return cls(
            federation.plan,
            tuple(read_rounds(one.value, membership, study) for one in log.committed([topics.rounds(study)])),
            {receipt.site: receipt for receipt in receipts},
            {record_digest(offer.header): offer for offer in offers},
        )

    @property
    def final(self) -> bool:
        """Whether the study is over."""
        return any(isinstance(record, Announcement) and record.final for record in self.rounds)

    @property
    def announced(self) -> list[tuple[Request, Announcement]]:
        """Each version that came of a cohort, with the Request it ends."""
        asked = {record_digest(one.to_bytes()): one for one in self.rounds if isinstance(one, Request)}
        return [
            (asked[one.request], one)
            for one in self.rounds
            if isinstance(one, Announcement) and one.request is not None
        ]

    def check(self) -> None:
        """Raises Broken with what does not hold."""
        self._check_chain()
        self._check_counted()
        self._check_receipts()
        self._check_models()

    def _check_chain(self) -> None:
        view = RoundsView(self.plan.study, self.plan.digest)
        for record in self.rounds:
            if isinstance(record, Request) and view.open_request is not None:
                raise Broken("new-cohort", f"record {record.index} asks while another Request is open")
            try:
                view.add(record)
            except PeerError as error:
                raise Broken("two-models", f"record {record.index}: {error}") from error
        if view.open_request is not None:
            raise Broken("open-request", f"the study ends with a Request of version {view.version} open")

    def _check_counted(self) -> None:
        counted = Counter((entry.site, entry.sequence) for request, _ in self.announced for entry in request.entries)
        if twice := [name for name, times in counted.items() if times > 1]:
            raise Broken("counted-twice", f"{sorted(twice)} are in two versions")

    def _check_receipts(self) -> None:
        """Whoever was counted last is told so, and nobody else."""
        last: dict[str, tuple[int, int]] = {}
        for request, announcement in self.announced:
            last |= {entry.site: (entry.sequence, announcement.version) for entry in request.entries}
        for site, (sequence, version) in last.items():
            told = self.receipts.get(site)
            decided = {} if told is None else {one.sequence: (one.outcome, one.version) for one in told.recent}
            if told is not None:
                decided[told.sequence] = (told.outcome, told.version)
            if decided.get(sequence) != (Outcome.COUNTED, version):
                raise Broken("receipt-apart", f"{site} is in version {version}, its receipt says {decided}")

    def _check_models(self) -> None:
        """Each version from the one before, as an auditor computes it."""
        model = np.zeros(self.plan.parameters, np.float32)
        for request, announcement in self.announced:
            made = recompute(self.plan, request, [self._contribution(entry.header) for entry in request.entries], model)
            if made.differences(announcement):
                raise Broken("other-model", f"version {made.version} differs in {made.differences(announcement)}")
            model = made.model

    def _contribution(self, digest: bytes) -> Contribution:
        offer = self.offered.get(digest)
        if offer is None:
            raise Broken("cohort", "a cohort has an update that nobody offered")
        header = Header.from_bytes(offer.header)
        encoded = encode(
            update_of(header.site, header.base_version, self.plan.parameters), Encoding.from_plan(self.plan)
        )
        body = b"".join(block.tobytes() for block in encoded.blocks())
        assert digest_of([body]) == header.payload_digest
        return Contribution(offer.header, offer.body.chunk_digests, [(0, body)])
