"""Reads every site's offers topic from where receipts and bookmark say, as fast as the queue takes facts.

Source: coordinator/shell/offers.py, intake.py and bookmarks.py, which it stands for.
"""

from collections.abc import Iterable

from coordinator.core.allowance import Allowance
from coordinator.core.events import QUEUE_MAX, OffersAnew
from simulation.lead import Heard, Lead
from simulation.records import Other, SentEvaluation, SentOffer

BATCH_MAX = 256
BOOKMARK_RECORDS = 4  # far more often than in earnest: whatever a bookmark can spoil shall happen
RECORD_BYTES = 225


class OffersReader:
    """One position a topic; a topic that is held is not read, and nothing is read while the queue is full."""

    def __init__(self, run: Lead) -> None:
        self._run = run
        self._positions: dict[str, int] = {}
        self._held: set[str] = set()
        self._due: set[str] = set()
        self._blocked: dict[str, None] = {}
        self._allowance = Allowance()
        self._indebted: set[str] = set()
        self._unbelieved: dict[str, int] = {}  # site -> its first offer under a key that the roster lacks
        self._unmarked = 0  # records read since the last bookmark
        self.refused = 0  # records that nobody may believe

    def assign(self, sites: Iterable[str]) -> None:
        """Read these sites: a new one from where its receipt says, the others on."""
        before = self._positions | {site: at for site, at in self._unbelieved.items() if site in self._positions}
        self._unbelieved.clear()
        self._positions = {site: before.get(site) or self._first(site) for site in sorted(sites)}
        self._held.intersection_update(self._positions)
        for site in self._positions:
            self.wake(site)

    def _first(self, site: str) -> int:
        marked = self._run.marked
        return max(self._run.core.next_offset(site), marked.get(site, 0))

    def wake(self, site: str) -> None:
        """There may be something to read: it comes over the link, each topic at its own time."""
        run = self._run
        if site not in self._positions or site in self._due or site in self._held or site in self._indebted:
            return
        self._due.add(site)
        leaves_ms = run.clock.now_ms
        if run.scene.disorder_ms:
            leaves_ms += run.node.random.randrange(run.scene.disorder_ms)
        run.clock.at(run.node.link.fetched_ms(leaves_ms, 0), run.node, self._read, site)

    def hold(self, site: str) -> None:
        self._held.add(site)

    def release(self, site: str) -> None:
        self._held.discard(site)
        self.wake(site)

    def more(self) -> None:
        """The queue has room again."""
        if self._blocked and len(self._run.queue) < QUEUE_MAX:
            blocked, self._blocked = self._blocked, {}
            for site in blocked:
                self.wake(site)

    def _read(self, site: str) -> None:
        run = self._run
        self._due.discard(site)
        if run.over or site not in self._positions or site in self._held or site in self._indebted:
            return
        room = QUEUE_MAX - len(run.queue)
        if room <= 0:
            self._blocked[site] = None
            return
        topic = run.scene.log.offers[site]
        if self._positions[site] > topic.end:
            self._made_anew(site)
        entries, self._positions[site] = topic.read(self._positions[site], min(room, BATCH_MAX))
        for entry in entries:
            self._allowance.spend(site, RECORD_BYTES, run.node.now_ms())
            if entry.value is not None and not isinstance(entry.value, Other):
                self._take(site, entry.offset, entry.value)
            elif isinstance(entry.value, Other) and not entry.value.readable:
                self.refused += 1
        self._unmarked += len(entries)
        if self._unmarked >= BOOKMARK_RECORDS:
            self._unmarked = 0
            run.post(Heard(self._heard()))
        wait_ms = self._allowance.wait_ms(site, run.node.now_ms())
        if wait_ms:
            self._indebted.add(site)
            run.clock.after(wait_ms, run.node, self._paid, site)
        if self._positions[site] < topic.end:
            self.wake(site)

    def _paid(self, site: str) -> None:
        self._indebted.discard(site)
        self.wake(site)

    def _heard(self) -> dict[str, int]:
        """Up to where each site was heard; an offer under a key that no roster knows yet is not heard."""
        return {site: min(at, self._unbelieved.get(site, at)) for site, at in self._positions.items()}

    def _made_anew(self, site: str) -> None:
        """The topic ends before what was read of it: it is read from its beginning."""
        self._positions[site] = 0
        self._unbelieved.pop(site, None)
        self._run.marked.pop(site, None)
        self._run.post(OffersAnew(site))
        self._run.post(Heard({site: 0}))  # before anything is read there: a position of the old topic would pass it

    def _take(self, site: str, offset: int, record: SentOffer | SentEvaluation) -> None:
        """Topic, signer and payload name the same site, under a key of its own, and the bytes are those signed."""
        if not record.intact or record.signer != site or record.fact.site != site:
            self.refused += 1
            return
        if (site, record.key) not in self._run.node.roster.keys:
            if isinstance(record, SentOffer):
                self._unbelieved.setdefault(site, offset)
            self.refused += 1
            return
        self._run.post(record if isinstance(record, SentOffer) else record.fact)
