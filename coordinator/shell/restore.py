"""Rebuilds a study from the log alone: rounds, receipts, the newest model and state, progress towards the stop rule."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from coordinator.core.bookmark import Marked, progress_after, wanted
from coordinator.core.replay import Replay
from coordinator.core.site import Site
from coordinator.shell.epochs import Epochs
from coordinator.shell.intake import VerifiedOffer, chosen_offer, measured
from coordinator.shell.services import Services, refuse_own
from coordinator.shell.vectors import Stored
from coordinator.strategies.stopping import Progress
from protocol.commands import CommandLog
from protocol.digests import initial_subject, model_subject, state_subject
from protocol.rounds import RoundsView
from protocol.sealing import ChunkOpener, open_body_box, open_epoch_box
from protocol.written import ForeignError, read_receipt, read_rounds
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import (
    Action,
    Announcement,
    BodyAt,
    CohortBody,
    PlanRecord,
    Receipt,
    Request,
)
from transport.reading.batches import COMPRESSED
from transport.reading.log import EARLIEST, Entry, to_end
from transport.reading.plain import check_listed, plain_chunks, whole_body

RECORDS_A_TURN = 64  # verified at once: about 10 ms

log = structlog.get_logger()


@dataclass(slots=True)
class Restored:
    """What the log says of a study."""

    replay: Replay  # of `rounds`
    receipts: dict[str, Receipt]
    commands: CommandLog
    ends: dict[str, int]  # topic -> one after the last record read
    covered: set[str] = field(default_factory=set)  # sites behind whose receipt something else stands under their name

    @property
    def view(self) -> RoundsView:
        return self.replay.view

    @property
    def watched(self) -> dict[str, int]:
        """Where the coordinator alone writes."""
        return {topic: end for topic, end in self.ends.items() if topic != topics.commands(self.view.study)}


async def _in_turns(
    services: Services, names: Iterable[str], *, committed: bool = True, start: Mapping[str, int] | None = None
) -> AsyncGenerator[Entry, None]:
    """What is on the topics, one by one: neither memory nor this process's heartbeats feel how long a log is."""
    async with aclosing(to_end(services.connection, names, committed=committed, start=start)) as entries:
        number = 0
        async for entry in entries:
            yield entry
            number += 1
            if number % RECORDS_A_TURN == 0:
                await asyncio.sleep(0)


async def read_study(services: Services, plan: Plan) -> Restored:
    """Read `rounds`, `receipts` and `commands` to their ends. Raises PeerError when the log breaks its own rules.

    What no coordinator of the roster wrote is no part of the log: passed over, counted, said.

    Raises LogUndecided when a predecessor's records lie there that cannot be read, and do not say how they end.
    """
    study = plan.study
    await services.transactions.settle((topics.rounds(study), topics.receipts(study), topics.keys(study)))
    wanted = (topics.rounds(study), topics.receipts(study), topics.commands(study))
    restored = Restored(Replay.of(plan), {}, CommandLog(study), dict.fromkeys(wanted, 0))
    compressed: set[str] = set()
    async with aclosing(_in_turns(services, sorted(restored.ends))) as entries:
        async for entry in entries:
            restored.ends[entry.topic] = entry.offset + 1
            if entry.refused == COMPRESSED:
                compressed.add(entry.topic)
            if entry.topic == topics.commands(study):
                take_command(restored.commands, entry, services)
            else:
                _take(restored, entry, services)
    await _refuse_recompressed(services, compressed)
    _refuse_lost(restored)
    _refuse_forgotten(restored)
    return restored


async def _refuse_recompressed(services: Services, compressed: Iterable[str]) -> None:
    """A batch that nobody opens is a stranger's, unless the broker itself compresses what a coordinator wrote."""
    for topic in sorted(compressed):
        setting = (await services.admin.describe(topic)).get("compression.type", "producer")
        if setting != "producer":
            raise PeerError(f"{topic} has compression.type {setting}: its records may be the coordinator's, and unread")


def _refuse_lost(restored: Restored) -> None:
    """Receipts are written with the versions they name: a log that has only one of them has lost the other."""
    view = restored.view
    for entry in restored.replay.counted:
        receipt = restored.receipts.get(entry.site)
        if receipt is None or Site.from_receipt(receipt).sequence < entry.sequence:
            raise PeerError(
                f"version {view.version} counts update {entry.sequence} of {entry.site}, no receipt does",
                code="lost",
            )
    for receipt in restored.receipts.values():
        named = max(receipt.version or 0, *(past.version or 0 for past in receipt.recent))
        if named > view.version:
            raise PeerError(
                f"a receipt of {receipt.site} names version {named}, the log ends with {view.version}", code="lost"
            )


def _refuse_forgotten(restored: Restored) -> None:
    """Who was excluded would count again where `commands` was made anew, and nobody would have said so."""
    for site, receipt in sorted(restored.receipts.items()):
        codes = {receipt.code, *(past.code for past in receipt.recent)}
        if "excluded" in codes and not restored.commands.mentions(Action.EXCLUDE, site):
            raise PeerError(
                f"a receipt of {site} says `excluded`, {topics.commands(restored.view.study)} has no such command any "
                f"more, nor those before it: pause and exclude again what was, {site} at least (`include` it if that "
                "was over), then start the coordinator again",
                code="lost",
            )


def take_command(commands: CommandLog, entry: Entry, services: Services) -> bool:
    """Keep a record of `commands`; False for one that no operator wrote, which is counted and changes nothing."""
    try:
        if commands.add(entry.value, services.membership):
            return True
        error = PeerError(f"its key is no operator's of study {commands.study}", code="stranger")
    except PeerError as wrong:
        error = wrong
    services.strangers.refused(entry, error, commands.study)
    return False


def _take(restored: Restored, entry: Entry, services: Services) -> None:
    try:
        if entry.topic == topics.receipts(restored.view.study):
            _take_receipt(restored, entry, services)
        else:
            restored.replay.take(read_rounds(entry.value, services.membership, restored.view.study))
    except ForeignError as error:
        refuse_own(services, entry.value, error)
        services.strangers.passed_over(restored.view.study, entry, error)


def _take_receipt(restored: Restored, entry: Entry, services: Services) -> None:
    """A site's newest receipt. What stands behind it under the site's name will have it forgotten by the broker."""
    key = (entry.key or b"").decode(errors="replace")
    try:
        read = read_receipt(entry.value, services.membership, restored.view.study)
    except ForeignError:
        restored.covered.add(key)
        raise
    if key != read.site or read.is_older_than(restored.receipts.get(read.site)):
        restored.covered.add(key)
        raise ForeignError(f"a receipt of {read.site} that was copied from elsewhere or earlier")
    restored.covered.discard(read.site)
    restored.receipts[read.site] = read


async def read_progress(services: Services, plan: Plan, restored: Restored, bookmark: Marked | None) -> Progress:
    """Best value and patience, from the bookmark and the evaluations that Announcements list since.

    Only these are looked for, from the bookmark's positions on, and no further than up to the last of them.
    """
    if not plan.stop.patience:
        return Progress()
    missing = wanted(bookmark, restored.replay.evaluations)
    found = await _find(services, plan, missing, dict(bookmark.positions) if bookmark is not None else {})
    progress = progress_after(bookmark, restored.replay.evaluations, found, plan)
    newest = restored.view.newest
    return replace(progress, patience=newest.patience if newest else 0)


async def _find(
    services: Services, plan: Plan, missing: dict[bytes, str], positions: Mapping[str, int]
) -> dict[bytes, tuple[float, float]]:
    """Value and weight of each evaluation by its digest. An Announcement lists it, so no signature is needed."""
    found: dict[bytes, tuple[float, float]] = {}
    start = {topics.offers(site): positions.get(site, EARLIEST) for site in missing.values()}
    existing = await services.admin.existing(start)
    if not existing:
        return found
    start = {topic: start[topic] for topic in existing}
    async with aclosing(_in_turns(services, existing, committed=False, start=start)) as entries:
        async for entry in entries:
            digest, evaluated = measured(entry, plan, missing, services.opening)
            if evaluated is not None:
                found[digest] = evaluated.value, evaluated.weight
                if len(found) == len(missing):
                    break
    return found


async def fetch_cohort(services: Services, request: Request) -> list[VerifiedOffer]:
    """The offers that an open Request names, in the order of its entries, out of its cohort's body."""
    topic = topics.models(request.study)
    body = CohortBody.from_bytes(bytes(await whole_body(services.reader, topic, request.cohort, None)))
    if len(body.offers) != len(request.entries):
        raise PeerError(f"the cohort body on {topic} has another number of offers than its Request")
    return [chosen_offer(signed, entry) for signed, entry in zip(body.offers, request.entries, strict=True)]


async def fetch_initial(services: Services, plan: Plan, record: PlanRecord, path: Path) -> Stored:
    """Version 0 as the registrar uploaded it, into `path`. Raises PeerError when it is not the plan's."""
    if record.initial is None:
        raise PeerError(f"the plan of {plan.study} names no body of version 0: run `wardround study create` again")
    subject = initial_subject(plan.study)
    key = open_body_box(services.opening, record.initial.boxes, subject)
    at = BodyAt(plan.initial, record.initial)
    return await _download(services, topics.REGISTRAR_BODIES, at, key, subject, path)


async def fetch_model(services: Services, plan: Plan, epochs: Epochs, announced: Announcement, path: Path) -> Stored:
    """The announced model, into `path`."""
    subject = model_subject(plan.study, announced.version)
    key = open_epoch_box(epochs.key(announced.key_epoch), announced.model.body.boxes)
    return await _download(services, topics.models(plan.study), announced.model, key, subject, path)


async def fetch_state(services: Services, plan: Plan, announced: Announcement, path: Path) -> Stored | None:
    """The announced optimiser state, into `path`; None when there is none."""
    if announced.state is None:
        return None
    subject = state_subject(plan.study, announced.version)
    key = open_body_box(services.opening, announced.state.body.boxes, subject)
    return await _download(services, topics.models(plan.study), announced.state, key, subject, path)


async def _download(services: Services, topic: str, at: BodyAt, key: bytes, subject: bytes, path: Path) -> Stored:
    check_listed(topic, at)
    opener = ChunkOpener(key, subject, at.body.count)
    try:
        with path.open("wb") as file:
            async for _, chunk in plain_chunks(services.reader, topic, at.body, opener):
                file.write(chunk)
    except OSError as error:
        raise LocalError(f"{path} cannot be written ({error.strerror})", hint="free disk space") from None
    return Stored(path, at.digest, at.body.chunk_digests, at.body.size_bytes)
