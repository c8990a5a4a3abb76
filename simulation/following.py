"""How a site follows `rounds` and `receipts`: in order within each, none between them, the newest of both to its core.

Source: participant/shell/follow.py and site.py, which it stands for.
"""

from participant.core import events as seen
from participant.core.events import Event
from schemas.records import Announcement, Receipt
from simulation.premises import Premises
from simulation.records import Chosen
from simulation.written import rounds_of

NOT_LISTED = "the roster does not list this site"


class Follower:
    """The log as one life of a site has read it."""

    def __init__(self, site: Premises) -> None:
        self._site, self._log = site, site.scene.log
        self.newest: Announcement | None = None
        self.told: Announcement | None = None  # the newest that the core knows of
        self.digests: dict[int, bytes] = {}  # model digest by version
        self._position = 0
        self._receipts_position = 0
        self._held: str | None = None
        self._new_rounds = False
        self._record = -1  # the newest of `rounds` that was read
        self._record_told: int | None = None
        self._decided: Receipt | None = None
        self._receipts_new: list[Receipt] = []
        self._requested: list[Event] = []
        self._due_rounds = self._due_receipts = False

    def catch_up(self) -> None:
        """Read everything that is visible now; tell nothing yet."""
        self._take_rounds()
        self._take_receipts()

    def wake(self, *, rounds: bool, receipts: bool) -> None:
        """Something was committed: it is read once it has come over the link, either topic at its own time."""
        site, scene = self._site, self._site.scene
        if not site.joined:
            return
        rounds, receipts = rounds and not self._due_rounds, receipts and not self._due_receipts
        if not scene.disorder_ms and (rounds or receipts):
            self._due_rounds = self._due_receipts = True
            scene.clock.at(site.link.fetched_ms(scene.clock.now_ms, 0), site, self._read, True, True)
            return
        for wanted, topics in ((rounds, (True, False)), (receipts, (False, True))):
            if wanted:
                self._due_rounds, self._due_receipts = self._due_rounds or topics[0], self._due_receipts or topics[1]
                leaves_ms = scene.clock.now_ms + site.random.randrange(scene.disorder_ms)
                scene.clock.at(site.link.fetched_ms(leaves_ms, 0), site, self._read, *topics)

    def _read(self, rounds: bool, receipts: bool) -> None:
        if rounds:
            self._due_rounds = False
            self._take_rounds()
        if receipts:
            self._due_receipts = False
            self._take_receipts()
        self.tell()

    def tell(self) -> None:
        """What the core has not been told yet. Older announcements are skipped, and receipts that decide less."""
        events: list[Event] = []
        held = "" if self._site.member else NOT_LISTED
        if held != self._held:
            self._held = held
            events.append(seen.Held(held))
        events += self._requested
        self._requested = []
        if self._new_rounds and self.newest is not None:
            self._new_rounds, self.told = False, self.newest
            events.append(seen.Announced(self.newest.version, self.newest.final))
        if self._record != self._record_told:
            self._record_told = self._record
            events.append(seen.LogRead(self._record))
        events += [seen.ReceiptRead(receipt) for receipt in self._receipts_new]
        self._receipts_new = []
        if events:
            self._site.post(*events)

    def _take_rounds(self) -> None:
        entries, self._position = self._log.rounds.read(self._position)
        for record in rounds_of(entries):
            index = record.record.index if isinstance(record, Chosen) else record.index
            if index <= self._record:  # a copy of what was read
                continue
            self._record = index
            if isinstance(record, Announcement):
                self.newest, self._new_rounds = record, True
                self.digests[record.version] = record.model.digest
            elif isinstance(record, Chosen):
                mine = record.by_site.get(self._site.name)
                if mine is not None:
                    self._requested = [seen.Requested(record.record.version, mine.sequence, mine.weight)]
                else:
                    self._requested = []
        self._site.store.met(self._record)

    def _take_receipts(self) -> None:
        entry = self._log.receipts.newest(self._site.name)
        if entry is None or entry.offset < self._receipts_position:
            return
        entries, self._receipts_position = self._log.receipts.read(self._receipts_position)
        for one in entries:
            if isinstance(one.value, Receipt) and one.key == one.value.site == self._site.name:
                self._take_receipt(one.value)

    def _take_receipt(self, receipt: Receipt) -> None:
        if not receipt.is_older_than(self._decided):
            self._decided = receipt
            self._receipts_new = [one for one in self._receipts_new if not one.is_older_than(receipt)] + [receipt]
