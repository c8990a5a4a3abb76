"""One study's side of the log: announcements, requests, this site's receipts and epoch keys, verified in order.

Knows:    the chain of `rounds`, and what site.db remembers of it; the newest Announcement; the keys of epochs sealed to
          this site.
Never:    believes a record that its writer did not sign; works on after the chain broke.
"""

import asyncio
from contextlib import suppress

import structlog

from participant.core.events import Announced, Event, Held, LogRead, ReceiptRead, Requested
from participant.core.past import ASK
from participant.shell.services import Services
from participant.shell.unheard import Unheard
from protocol.rounds import RoundsView
from protocol.sealing import open_epoch_key
from protocol.written import ForeignError, read_epoch_key, read_receipt, read_rounds
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Announcement, EpochKey, Receipt, Request
from transport.reading.log import Entry
from transport.staying.link import DOCTOR

EPOCH_KEY_S = 10.0

log = structlog.get_logger()


class StudyLog:
    """Feed it every entry of the study's topics; `drain` returns what is new for the core, in order."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services, self._plan, self._place = services, plan, services.place
        self._topics = {topics.rounds(plan.study), topics.receipts(plan.study), topics.keys(plan.study)}
        self.view = RoundsView(plan.study, plan.digest, remembered=services.store.seen(plan.study))
        self.told: Announcement | None = None  # the newest that the core knows of; the view may be ahead of it
        self.unread = ""  # why its topics are not read, for whoever reads them to say
        self._broken = ""
        self._held: str | None = None
        self._said = ""
        self._new_rounds = False
        self._record: int | None = -1  # the record of `rounds` that was read last, for the first time or once more
        self._offset = -1  # of the newest entry of `rounds`
        self._record_told: int | None = -2  # nothing was told
        self._decided: Receipt | None = None  # the newest receipt that was read
        self._receipts_new: list[Receipt] = []
        self._requested: list[Requested] = []
        self._boxes: dict[int, EpochKey] = {}
        self._keys: dict[int, bytes] = {}
        self._key_came = asyncio.Event()
        self._unheard = Unheard()

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(self._topics)

    def feed(self, entry: Entry) -> None:
        """Take one entry of the study's topics; one that cannot be believed is counted and left out."""
        if entry.value is None:
            return
        self._hear_again()
        if entry.topic == topics.rounds(self._plan.study):
            if entry.offset <= self._offset:  # the topic begins again: what it has not got is not behind it
                self._record = -1
            self._offset = entry.offset
        try:
            self._hear(entry, entry.value)
        except PeerError as error:
            self._services.strangers.refused(entry, error)

    def _hear_again(self) -> None:
        """What was read before the roster that lists its signer, under that roster."""
        for entry in self._unheard.under(self._services.directory.membership):
            with suppress(PeerError):  # it was said and counted the first time
                self._hear(entry, entry.value or b"")

    def _hear(self, entry: Entry, value: bytes) -> None:
        try:
            if entry.topic == topics.rounds(self._plan.study):
                self._rounds(value)
            elif entry.topic == topics.receipts(self._plan.study):
                self._receipts(entry.key, value)
            else:
                self._epoch_keys(entry.key, value)
        except ForeignError as error:
            if error.code == "stranger":
                self._unheard.keep(entry, self._services.directory.membership)
            raise

    def drain(self) -> list[Event]:
        """What the core has not been told yet. Older announcements are skipped, and receipts that decide less.

        To be called once the topics were read to their end, or `unread` says why not: then that alone is told.
        The announcement first: a receipt may free the site to train, and then from the newest version.
        """
        self._hear_again()
        events: list[Event] = []
        held = self._why_held()
        if held != self._held:
            self._held = held
            self._say_held(held)
            events.append(Held(held))
        if self.unread:
            return events
        requested, self._requested = self._requested, []
        events += requested
        events += self._how_far()
        receipts, self._receipts_new = self._receipts_new, []
        return [*events, *(ReceiptRead(receipt) for receipt in receipts)]

    def _how_far(self) -> list[Event]:
        events: list[Event] = []
        if self._broken:
            self._record = None
        elif self._new_rounds and self.view.newest is not None:
            self._new_rounds = False
            self.told = self.view.newest
            events.append(Announced(self.told.version, self.told.final))
        if self._record != self._record_told:
            self._record_told = self._record
            events.append(LogRead(self._record))
        return events

    async def epoch_key(self, epoch: int) -> bytes:
        """The study key of an epoch. Raises PeerError when none was sealed to this site, or it does not open."""
        try:
            async with asyncio.timeout(EPOCH_KEY_S):  # another topic than the announcement: it may come a moment later
                while epoch not in self._boxes:
                    self._key_came.clear()
                    await self._key_came.wait()
        except TimeoutError:
            raise PeerError(f"no key of epoch {epoch} was sealed to {self._services.name}", code="box") from None
        if epoch not in self._keys:
            self._keys[epoch] = open_epoch_key(self._services.opening, self._boxes[epoch])
        return self._keys[epoch]

    def _rounds(self, value: bytes) -> None:
        if self._broken:
            return
        record = read_rounds(value, self._services.directory.membership, self._plan.study)
        try:
            new = self.view.add(record)
        except PeerError as error:
            self._broken = f"{error}; {ASK}" if error.code == "forked" else str(error)
            raise
        self._record = max(self._record if self._record is not None else -1, record.index)  # it may be an old copy
        if not new:
            return
        self._services.store.note_seen(self._plan.study, record.index, self.view.previous)
        if isinstance(record, Announcement):
            self._new_rounds = True
        elif isinstance(record, Request):
            mine = (entry for entry in record.entries if entry.site == self._services.name)
            self._requested = [Requested(record.version, entry.sequence, entry.weight) for entry in mine]

    def _receipts(self, key: bytes | None, value: bytes) -> None:
        if key != self._services.name.encode():
            return
        receipt = read_receipt(value, self._services.directory.membership, self._plan.study)
        if receipt.site != self._services.name:
            raise PeerError(f"a receipt of {receipt.study}/{receipt.site} stands under another key")
        if receipt.is_older_than(self._decided):
            raise PeerError(f"a receipt of {receipt.site} that was overtaken, copied from earlier")
        self._decided = receipt
        self._receipts_new = [one for one in self._receipts_new if not one.is_older_than(receipt)] + [receipt]

    def _epoch_keys(self, key: bytes | None, value: bytes) -> None:
        epoch, _, member = (key or b"").decode(errors="replace").partition("/")
        if member != self._services.name:
            return
        record = read_epoch_key(value, self._services.directory.membership, self._plan.study)
        if (str(record.epoch), record.member) != (epoch, member):
            raise PeerError("an epoch key stands under another epoch or member")
        known, held = self._boxes.get(record.epoch), self._services.opening.key_ids
        if known is not None and known.key_id in held and record.key_id not in held:
            raise PeerError(f"the key of epoch {epoch} under another opening key, copied from earlier")
        self._boxes[record.epoch] = record
        self._keys.pop(record.epoch, None)
        self._key_came.set()

    def _why_held(self) -> str:
        """Why this site must not work on the study right now; empty when it may."""
        directory = self._services.directory
        if directory.behind:
            return f"{directory.behind}; {directory.to_do}"
        return self._broken or self.unread or self._place.why_not(directory.membership, self._plan.study)

    def _say_held(self, held: str) -> None:
        """A line for each reason, and one when it is gone; of topics that are not read their reader has said so."""
        if held == self._said or (held and held == self.unread):
            return
        if held:
            log.error("study held", study=self._plan.study, reason=held, hint=DOCTOR)
        else:
            log.info("study no longer held", study=self._plan.study, reason=self._said)
        self._said = held
