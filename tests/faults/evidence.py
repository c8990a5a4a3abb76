"""What really happened, read where it stands: the topics of the log, and each site's own database.

Never:    asks a service; signatures and the chain are checked by the audit (tests.faults.models).
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from schemas import topics
from schemas.records import Announcement, Decided, Failed, Header, Offer, Outcome, Receipt, Request, Signed, kind_of
from transport.reading.log import Entry, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link

Update = tuple[str, int]  # (site, sequence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a Request or a receipt says of one update."""

    outcome: Outcome
    code: str | None
    version: int | None
    weight: int


@dataclass(slots=True)
class Evidence:
    """All of it. `offered` counts the Offer records of each update: one sent twice is recognised by its sequence."""

    offered: Counter[Update] = field(default_factory=Counter)
    counted: dict[Update, list[Verdict]] = field(default_factory=lambda: defaultdict(list))
    voided: set[Update] = field(default_factory=set)
    receipts: dict[Update, set[Verdict]] = field(default_factory=lambda: defaultdict(set))  # final ones
    newest_final: dict[str, int] = field(default_factory=dict)  # site -> its newest sequence decided for good
    sealed: dict[Update, int] = field(default_factory=dict)  # of the ledgers -> base version
    outbox: set[Update] = field(default_factory=set)
    told: dict[Update, str] = field(default_factory=dict)  # what each site noted as the fate of an update
    version: int = 0
    staleness_max: int = 0
    announced_ms: list[int] = field(default_factory=list)  # when each counted version was announced
    counted_ms: dict[str, int] = field(default_factory=dict)  # site -> when it last was in a cohort


async def read_evidence(kafka: KafkaSettings, study: str, sites: Iterable[str], *, staleness_max: int) -> Evidence:
    """The log's part."""
    names = list(sites)
    found, link = Evidence(staleness_max=staleness_max), Link(kafka)
    request: Request | None = None
    for entry in await read_to_end(kafka, link, [topics.rounds(study)]):
        request = _take_round(found, request, _payload(entry), entry.timestamp_ms)
    for entry in await read_to_end(kafka, link, [topics.offers(site) for site in names], committed=False):
        _take_offer(found, _payload(entry))
    for entry in await read_to_end(kafka, link, [topics.receipts(study)]):
        _take_receipt(found, Receipt.from_bytes(_payload(entry)))
    return found


def read_site(found: Evidence, site: str, database: Path) -> None:
    """A site's part. Its service has ended, so the file holds everything."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        for sequence, base in db.execute("SELECT sequence, base_version FROM ledger WHERE what = 'update'"):
            found.sealed[site, sequence] = base
        found.outbox.update((site, sequence) for (sequence,) in db.execute("SELECT sequence FROM outbox"))
        for sequence, outcome in db.execute("SELECT sequence, outcome FROM decided ORDER BY rowid"):
            found.told[site, sequence] = outcome


def _payload(entry: Entry) -> bytes:
    return Signed.from_bytes(entry.value or b"").payload


def _take_round(found: Evidence, request: Request | None, payload: bytes, at_ms: int) -> Request | None:
    """One record of `rounds`; returns the Request that is open behind it."""
    kind = kind_of(payload)
    if kind == Request.KIND:
        return Request.from_bytes(payload)
    if kind == Failed.KIND and request is not None:
        found.voided.update((entry.site, entry.sequence) for entry in request.entries)
    elif kind == Announcement.KIND:
        announced = Announcement.from_bytes(payload)
        found.version = announced.version
        if announced.request is not None and request is not None:
            found.announced_ms.append(at_ms)
            for entry in request.entries:
                verdict = Verdict(Outcome.COUNTED, None, announced.version, entry.weight)
                found.counted[entry.site, entry.sequence].append(verdict)
                found.counted_ms[entry.site] = at_ms
    return None


def _take_offer(found: Evidence, payload: bytes) -> None:
    if kind_of(payload) == Offer.KIND:
        header = Header.from_bytes(Offer.from_bytes(payload).header)
        found.offered[header.site, header.sequence] += 1


def _take_receipt(found: Evidence, receipt: Receipt) -> None:
    """The receipt's own outcome, and those it remembers: `again` is none yet."""
    said: list[Decided | Receipt] = [*receipt.recent, receipt]
    for one in said:
        outcome = Outcome(one.outcome)
        if outcome is not Outcome.AGAIN:
            verdict = Verdict(outcome, one.code, one.version, one.weight)
            found.receipts[receipt.site, one.sequence].add(verdict)
            found.newest_final[receipt.site] = max(one.sequence, found.newest_final.get(receipt.site, -1))
