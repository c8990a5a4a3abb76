"""What leaves this site in one study: updates and evaluations, through the gate and into the ledger first.

Knows:    how a finished vector becomes a sealed body with a signed Header, and both an Offer.
Never:    sends a thing that site.db has not got.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import structlog

from participant.core.absence import weights
from participant.core.restored import Restored
from participant.core.stage import Fate
from participant.shell.body import SealedChunks, write_body
from participant.shell.gate import Gate, What
from participant.shell.services import Services
from participant.shell.setup import Ready
from participant.shell.store import Decision, Left, Row
from protocol.digests import update_subject
from protocol.evaluations import evaluation_of
from protocol.fixed_point import Encoding
from protocol.sealing import TAG_BYTES, body_box, new_body_key
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import ALONE, Plan
from schemas.records import BodyRef, Header, KeyBox, MemberKey, Offer
from schemas.roster import Membership

ACKED_AFTER_S = 1.0  # an upload that takes longer is worth resuming
AGAIN_S = 5.0  # how long until an evaluation is tried again

log = structlog.get_logger()


class Outgoing:
    """One study's outbox, evaluations and offers."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services, self._plan = services, plan
        self.ready: Ready | None = None  # before task and data are loaded nothing is made, but what was made goes out
        self._gate: Gate = services.gate
        self._encoding = Encoding.from_plan(plan)
        self._alone_sent = False
        self._evaluations: dict[int, asyncio.Task[None]] = {}
        self._absent: set[str] = set()  # auditors that it was said of

    def body(self, sequence: int) -> Path:
        """Where the stored body of an update lies."""
        return self._services.outbox / f"{self._plan.study}.{sequence}"

    def seal(self, update: IO[bytes], base_version: int, base_digest: bytes, stands_for: float) -> int:
        """Encode the update's file and put it into outbox and ledger; returns its sequence. Runs in a thread.

        stands_for   so many versions, where the plan weighs absence

        Raises EncodingError, LocalError, OSError, sqlite3.Error or SealingStopped; nothing is kept then but the
        update's file.
        """
        assert self.ready is not None
        store, plan = self._services.store, self._plan
        sequence = store.sequence_next(plan.study)
        weighs = weights(plan, examples=self.ready.loaded.examples, stands_for=stands_for)
        auxiliary = self._gate.let_out(What.UPDATE, weighs, plan)
        signer = self._services.signer
        body = write_body(update, self.body(sequence), self._encoding, auxiliary, self._services.stopping)
        header = Header(
            study=plan.study,
            site=self._services.name,
            signing_key=signer.key_id,
            sequence=sequence,
            plan=plan.digest,
            base_version=base_version,
            base_digest=base_digest,
            trustees=(),
            d=plan.d,
            payload_digest=body.digest,
            cohort_min=self.ready.floor,
        ).to_bytes()
        row = Row(
            study=plan.study,
            sequence=sequence,
            base_version=base_version,
            header=header,
            signature=signer.sign_update(header, ()),
            body_key=new_body_key(),
            chunk_digests=body.chunk_digests,
            size_bytes=body.size_bytes,
        )
        store.put(row, Left(plan.study, plan.digest, What.UPDATE.value, body.size_bytes, sequence, base_version))
        self._services.metrics.updates.labels(plan.study).inc()
        self._services.metrics.updates_clipped.labels(plan.study).inc(body.clipped)
        return sequence

    async def send(self, sequence: int, *, anew: bool) -> int:
        """Upload the body, going on where an earlier upload stopped, then offer it; returns the Offer's offset.

        Raises LocalError, PeerError and OSError; waits for the broker for ever.
        """
        services, store = self._services, self._services.store
        row = store.row(self._plan.study, sequence)
        if anew:
            store.note_anew(row)
        runs = await self._upload(row)
        body = BodyRef(0, row.size_bytes, runs, row.chunk_digests, self._boxes(row))
        offer = services.signer.sign(Offer(row.header, (), row.signature, body)).to_bytes()
        evaluation = self._evaluations.pop(row.base_version, None)
        if evaluation is not None:
            await asyncio.shield(evaluation)  # the log has an evaluation before the update trained from its version
        offset = await services.writer.send(topics.offers(services.name), offer)
        self._count_up(len(offer))
        store.note_offered(row, offset)
        return offset

    def settle(self, sequence: int, decision: Decision, *, again: bool) -> None:
        """Take an update out of the outbox, its body too; with `again` its base may be trained from once more."""
        store = self._services.store
        store.note_settled(store.row(self._plan.study, sequence), self.body(sequence), decision, again=again)

    async def evaluation(self, version: int, model: bytes, values: Mapping[str, float], *, with_alone: bool) -> None:
        """Let out what was measured on a version; it is sent while the site goes on. Raises sqlite3.Error."""
        assert self.ready is not None
        store, study = self._services.store, self._plan.study
        if with_alone or not self._alone_sent:
            values = {**values, **store.facts(study, ALONE)}
        usage = {name: store.fact(study, name) for name in ("train-seconds", "bytes-up", "bytes-down")}
        numbers = {**usage, "bytes-data": float(self.ready.loaded.bytes_data), **values}
        allowed = self._gate.let_out(What.EVALUATION, numbers, self._plan)
        if not allowed:
            store.note_fact(study, "evaluated", version)
            return
        self._alone_sent = self._alone_sent or any(name.startswith(ALONE) for name in allowed)
        readers = {name: key.public for name, key in self._readers().items()}
        record = evaluation_of(study, self._services.name, version, model, allowed, readers)
        value = self._services.signer.sign(record).to_bytes()
        store.note_left(Left(study, self._plan.digest, What.EVALUATION.value, len(value), base_version=version))
        await asyncio.to_thread(store.flush)
        self._evaluations = {of: task for of, task in self._evaluations.items() if not task.done()}
        self._evaluations[version] = self._services.spawn(self._send_evaluation(version, value))

    def keep_alone(self, values: Mapping[str, float]) -> None:
        """Keep the local baseline's metrics until they are sent."""
        for name, value in values.items():
            if name.startswith(self._plan.evaluation.metric):
                self._services.store.note_fact(self._plan.study, ALONE + name, value)

    async def _send_evaluation(self, version: int, value: bytes) -> None:
        """Wait for this site's topic, and for its rights, as well: no study is at fault."""
        while True:
            try:
                await self._services.writer.send(topics.offers(self._services.name), value)
                break
            except LocalError as error:
                told = {"version": version, "reason": str(error), "hint": error.hint}
                log.warning("evaluation not sent, trying again", study=self._plan.study, **told)
                await asyncio.sleep(AGAIN_S)
        self._count_up(len(value))
        self._services.store.note_fact(self._plan.study, "evaluated", version)

    async def _upload(self, row: Row) -> tuple[tuple[int, int], ...]:
        services, count = self._services, len(row.chunk_digests) // 32
        source = SealedChunks(self.body(row.sequence), row.body_key, row.header, count)
        fresh: list[tuple[int, int]] = []
        noted_s = time.monotonic()

        def acked(chunk: int, offset: int) -> None:
            nonlocal noted_s
            row.acked[chunk] = offset
            fresh.append((chunk, offset))
            self._count_up(row.size_bytes // count + TAG_BYTES)
            if time.monotonic() - noted_s >= ACKED_AFTER_S:
                services.store.note_acked(row, fresh)
                fresh.clear()
                noted_s = time.monotonic()

        try:
            return await services.bodies.upload(
                topics.bodies(services.name), count, source.chunk, acked=dict(row.acked), on_acked=acked
            )
        finally:
            services.store.note_acked(row, fresh)  # of an upload that is stopped, too
            source.close()

    def _boxes(self, row: Row) -> tuple[KeyBox, ...]:
        """The body key for the coordinator and each auditor, by the roster as it is now.

        An auditor that has left cannot be given it; the update is sent all the same.
        """
        subject = update_subject(row.header)
        readers = self._readers()
        return tuple(body_box(key.public, name, key.key_id, subject, row.body_key) for name, key in readers.items())

    def _readers(self) -> dict[str, MemberKey]:
        """The coordinator and the auditors, by the roster as it is now."""
        membership, auditors = self._membership(), self._plan.storage.auditors
        readers = {membership.coordinator: membership.opening_key(membership.coordinator)}
        readers |= membership.openers(auditors)
        if absent := [name for name in auditors if name not in readers and name not in self._absent]:
            self._absent.update(absent)
            told = {"auditors": absent, "roster": membership.serial}
            log.warning("auditors without a key on the roster are given no updates", study=self._plan.study, **told)
        return readers

    def _membership(self) -> Membership:
        membership = self._services.directory.membership
        if membership is None:
            raise PeerError("the roster is not complete on the log", code="stranger")
        return membership

    def _count_up(self, size_bytes: int) -> None:
        self._services.store.count(self._plan.study, "bytes-up", size_bytes)
        self._services.metrics.bytes.labels(self._plan.study, "up").inc(size_bytes)


def reconcile_outbox(services: Services, plan: Plan, out: Outgoing) -> Restored:
    """What site.db remembers; an update whose body is gone is dropped, a body without an update removed."""
    store, study = services.store, plan.study
    for row in store.rows(study):
        if not out.body(row.sequence).exists():
            log.error("the body of an update is gone", update=f"{study}/{services.name}/{row.sequence}")
            out.settle(row.sequence, Decision(Fate.LOST), again=True)
            services.metrics.decided.labels(study, Fate.LOST, "").inc()
    known = {out.body(row.sequence) for row in store.rows(study)}
    for path in services.outbox.glob(f"{study}.*"):
        if path not in known:
            path.unlink()
    return store.restored(study)
