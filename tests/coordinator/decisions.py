"""What was decided of each update, on the log and on its way there: nothing twice, nothing skipped."""

from collections.abc import Callable, Iterable

from coordinator.core.events import OfferFact
from schemas.records import RECENT_MAX, Outcome, Receipt
from tests.coordinator.log import Log, Name, is_final, name_of


class Decisions:
    """Asserts at each receipt what must hold of it; a crash takes what is not committed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._asked_to: dict[Name, int] = {}  # before which offset an `again` answers every offer of an update
        self._repeated: set[tuple[str, int]] = set()  # offsets that this process ignored
        self._unwritten: dict[Name, tuple[int, str | None]] = {}
        self._passed: dict[str, int] = {}  # up to where receipts were checked
        self.highest: dict[str, int] = {}  # sequence decided for good

    def restart(self, next_offset: Callable[[str], int]) -> None:
        """A successor knows what was committed, and reads on at `next_offset` of each site."""
        self._repeated, self._unwritten = set(), {}
        self._passed = {site: next_offset(site) for site in self._log.offers}
        self.highest = dict.fromkeys(self._log.offers, -1)
        for (site, sequence), (outcome, _) in self._log.decided.items():
            if is_final(outcome):
                self.highest[site] = max(self.highest[site], sequence)

    def repeated(self, offer: OfferFact) -> None:
        """It repeats one that is decided, or waits."""
        self._repeated.add((offer.site, offer.offset))

    def note(self, receipt: Receipt) -> None:
        """A decision was taken: no final one is taken twice, and its position passes nothing undecided."""
        site, name = receipt.site, (receipt.site, receipt.sequence)
        for known in (self._log.decided, self._unwritten):
            assert name not in known or not is_final(known[name][0]), f"{name} is decided twice"
        self._unwritten[name] = (receipt.outcome, receipt.code)
        if is_final(receipt.outcome):
            self.highest[site] = max(self.highest[site], receipt.sequence)
        else:
            self._asked_to[name] = receipt.next_offset
        highest = self.highest[site]
        for sent in self._log.offers[site][self._passed[site] : receipt.next_offset]:
            asked = sent is not None and self.is_answered_by_again(sent[0])
            assert sent is None or asked or sent[0].sequence <= highest, f"{sent} is skipped"
        assert self._passed[site] <= receipt.next_offset
        self._passed[site] = receipt.next_offset
        assert receipt.next_offset <= len(self._log.offers[receipt.site])
        assert len(receipt.recent) <= RECENT_MAX
        assert (receipt.recent[-1].sequence, receipt.recent[-1].outcome) == (receipt.sequence, receipt.outcome)
        written = [past.sequence for past in receipt.recent if is_final(past.outcome)]
        assert max(written, default=-1) == highest, "a successor would not know what is decided"

    def is_answered_by_again(self, offer: OfferFact) -> bool:
        """Whether `again` was said after this offer was met: as itself, or as the repetition of one that waited."""
        return offer.offset < self._asked_to.get(name_of(offer), 0) or (
            name_of(offer) in self._asked_to and (offer.site, offer.offset) in self._repeated
        )

    def waits(self, offer: OfferFact) -> bool:
        """Whether the site still waits for an answer to this offer."""
        return offer.sequence > self.highest[offer.site] and not self.is_answered_by_again(offer)

    def commit(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            before = self._log.receipts.get(receipt.site)
            assert before is None or before.next_offset <= receipt.next_offset
            self._log.receipts[receipt.site] = receipt
            for name in [name for name in self._unwritten if name[0] == receipt.site]:
                self._log.decided[name] = self._unwritten.pop(name)
            for past in receipt.recent:
                outcome, code = self._log.decided[receipt.site, past.sequence]
                overtaken = outcome == Outcome.AGAIN and (past.outcome, past.code) == (Outcome.REFUSED, "duplicate")
                assert overtaken or (past.outcome, past.code) == (outcome, code)

    def asked_again(self) -> list[Name]:
        """Updates whose body the site has to send once more."""
        return [
            name
            for name, (outcome, _) in sorted(self._log.decided.items())
            if not is_final(outcome)
            and name[1] > self.highest[name[0]]
            and not any(
                sent and name_of(sent[0]) == name and not self.is_answered_by_again(sent[0])
                for sent in self._log.offers[name[0]]
            )
        ]
