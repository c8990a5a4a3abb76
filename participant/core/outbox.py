"""Finished updates that are not decided yet, and what a receipt says about them.

Knows:    sequences, base versions, and whether each was offered.
Never:    holds a body.
Source:   docs/secure-aggregation.md, section 4 (Receipt) and section 9 (restored copies).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from participant.core.events import SendFailed, Sent
from participant.core.pauses import Pauses
from participant.core.stage import TABLE, Fact, Fate, Stage
from schemas.records import Decided, Outcome, Receipt

GRACE_MS = 10_000  # Kafka has no order between topics: a receipt may be read later than the version it was written with
REMIND_MS = 3_600_000  # an offer that nobody answers for so long may be lost: retention takes what was not read in time
SOON_MS = 60_000  # sooner, while versions are made without it; twice as long each time
PASSED_BY = 2  # so many: what is offered while a round closes may just miss it


@dataclass(slots=True)
class Entry:
    """One update in the outbox. `offer_offset` is where its newest Offer lies, -1 while none is waited for."""

    sequence: int
    base_version: int
    offer_offset: int = -1
    stage: Stage = Stage.SEALED
    anew: bool = False  # its body was asked for again, whatever was acknowledged before
    forget: bool = False  # what was acknowledged is still remembered, and has to be forgotten first
    reminding: bool = False  # it was offered and never answered: offered once more, however late
    attempts: int = 0
    retry_ms: int = 0
    grace_ms: int | None = None  # until when a lost acknowledgement is waited for, before it is given up
    answer_ms: int | None = None  # until when a receipt is waited for, before it is offered once more
    soon_ms: int = 0  # when it may be offered once more, if versions pass it by
    reminders: int = 0  # since somebody asked for it
    newest: int = 0  # the newest version when waiting for a receipt began

    @classmethod
    def restored(cls, sequence: int, base_version: int, offer_offset: int) -> "Entry":
        """As an earlier life left it. An offer is repeated: its topic may have gone, and it costs little."""
        if offer_offset < 0:
            return cls(sequence, base_version)
        return cls(sequence, base_version, offer_offset, Stage.OFFERED, answer_ms=0)

    @property
    def offered(self) -> bool:
        return self.stage is Stage.OFFERED

    def moved(self, fact: Fact) -> None:
        """Raises KeyError for a fact that cannot come now: a mistake of ours."""
        self.stage = TABLE[self.stage, fact]
        self.grace_ms = self.answer_ms = None
        if self.stage is not Stage.OFFERED:
            self.offer_offset = -1

    def begin(self) -> bool:
        """Sending begins; returns whether it begins with the first chunk. One that is cut then goes on as any other."""
        self.moved(Fact.BEGUN)
        forget, self.forget = self.forget, False
        return forget


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt says about one entry: its fate, or (None) that its body is wanted anew."""

    entry: Entry
    fate: Fate | None
    code: str | None
    version: int | None
    weight: int


class Outbox:
    """The undecided updates of one study, in sequence order; at most one of them was never offered."""

    def __init__(self, rows: Iterable[tuple[int, int, int]], pauses: Pauses) -> None:
        """`rows` are (sequence, base version, offset of its newest Offer or -1)."""
        self.entries = [Entry.restored(*row) for row in sorted(rows)]
        self._pauses = pauses

    def __len__(self) -> int:
        return len(self.entries)

    def unsent(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.offered]

    def add(self, sequence: int, base_version: int) -> None:
        self.entries.append(Entry(sequence, base_version))

    def to_send(self, now_ms: int) -> Entry | None:
        """What has to be sent now: the lowest first, since sequences are decided in order, and one at a time.

        What is about to be given up is not begun: its body would be sent for nothing.
        """
        entry = next(iter(self.unsent()), None)
        if entry is None or entry.stage is not Stage.SEALED or entry.grace_ms is not None or now_ms < entry.retry_ms:
            return None
        return entry

    def next_ms(self, now_ms: int) -> int | None:
        """When something that waits may be sent, or has waited long enough."""
        times: list[int | None] = [entry.retry_ms for entry in self.unsent()]
        for entry in self.entries:
            times += [entry.grace_ms, entry.answer_ms]
        return min((time for time in times if time is not None and time > now_ms), default=None)

    def on_send(self, event: Sent | SendFailed, now_ms: int) -> None:
        """Note how sending ended; nothing for what is not being sent any more."""
        for entry in self.entries:
            if entry.sequence == event.sequence and entry.stage is Stage.SENDING:
                if isinstance(event, Sent):
                    entry.moved(Fact.SENT)
                    entry.offer_offset, entry.reminding = event.offset, False
                    self._pauses.passed("send")
                else:
                    entry.moved(Fact.CUT)
                    self._retry(entry, now_ms)
                    self._pauses.failed("send", now_ms)

    def ask_again(self, entry: Entry, now_ms: int) -> None:
        """The body of an offered update has to be sent anew: at once for the first time, then after a pause."""
        entry.moved(Fact.ASKED)
        entry.anew, entry.forget, entry.reminders = True, True, 0
        if entry.attempts:
            self._retry(entry, now_ms)
        else:
            entry.attempts = 1

    def answered_before(self, sent: Sent, receipt: Receipt, now_ms: int) -> None:
        """An `again` may be read before the acknowledgement of the very Offer that it is about."""
        known = _outcomes(receipt).get(sent.sequence)
        if known is None or known.outcome != Outcome.AGAIN or sent.offset >= receipt.next_offset:
            return
        for entry in self.entries:
            if entry.sequence == sent.sequence and entry.offered:
                self.ask_again(entry, now_ms)

    def named(self, receipt: Receipt) -> None:
        """What a receipt names was offered, whatever this site knows: it is not given up before it is answered."""
        known = _outcomes(receipt)
        for entry in self.unsent():
            if entry.sequence in known:
                entry.reminding, entry.grace_ms = True, None

    def linked(self) -> None:
        """The link is back: answers may be on their way, so waiting for them begins anew."""
        for entry in self.unsent():
            entry.grace_ms = None

    def given_up(self, late: Callable[[int], bool], now_ms: int) -> list[Entry]:
        """What was not offered as far as this site knows, can never count by its base version, and is not answered.

        The acknowledgement of its offer may be lost or late, and a receipt be on its way: hence the grace.
        """
        found: list[Entry] = []
        for entry in self.unsent():
            if entry.anew or entry.reminding or not late(entry.base_version):
                continue
            if entry.grace_ms is None:
                entry.grace_ms = now_ms + GRACE_MS
            elif now_ms >= entry.grace_ms:
                found.append(entry)
        return found

    def remind(self, newest: int, now_ms: int) -> None:
        """An offer without an answer goes out once more; a coordinator that has it already ignores it.

        `newest` is the newest version. While none appear the coordinator may be away, and a thousand sites need not
        press it; where others' updates make versions and this one is in none, it may never have been read.
        """
        for entry in self.entries:
            if not entry.offered:
                continue
            if entry.answer_ms is None:
                entry.newest, entry.answer_ms = newest, now_ms + REMIND_MS
                entry.soon_ms = now_ms + min(SOON_MS << min(entry.reminders, 6), REMIND_MS)
            if newest >= entry.newest + PASSED_BY:
                entry.answer_ms = min(entry.answer_ms, entry.soon_ms)
            if now_ms >= entry.answer_ms:
                entry.moved(Fact.UNANSWERED)
                entry.reminding = True
                entry.reminders += 1

    def _retry(self, entry: Entry, now_ms: int) -> None:
        entry.attempts += 1
        entry.retry_ms = now_ms + self._pauses.length_ms(entry.attempts)


_FATES = {Outcome.COUNTED: Fate.COUNTED, Outcome.REFUSED: Fate.REFUSED, Outcome.VOID: Fate.VOID}


def highest(receipt: Receipt) -> int:
    """The highest sequence a receipt knows of."""
    return max(receipt.sequence, *(decided.sequence for decided in receipt.recent), 0)


def verdicts(receipt: Receipt, entries: Iterable[Entry]) -> list[Verdict]:
    """What `receipt` says about `entries`, in their order; nothing about those it leaves open.

    A final receipt decides every lower sequence too: one that is not among the recent outcomes was overtaken.
    """
    known = _outcomes(receipt)
    final = max((one.sequence for one in known.values() if one.outcome != Outcome.AGAIN), default=-1)
    found: list[Verdict] = []
    for entry in entries:
        one = known.get(entry.sequence)
        if one is not None and one.outcome != Outcome.AGAIN:
            found.append(Verdict(entry, _FATES[Outcome(one.outcome)], one.code, one.version, one.weight))
        elif entry.sequence < final:
            found.append(Verdict(entry, Fate.OVERTAKEN, None, None, 0))
        elif one is not None and _asked_again(receipt, entry):
            found.append(Verdict(entry, None, one.code, None, 0))
    return found


def _outcomes(receipt: Receipt) -> dict[int, Decided]:
    """The outcome per sequence; of several for one, a final one wins over `again`."""
    head = Decided(receipt.sequence, receipt.outcome, receipt.code, receipt.version, receipt.weight)
    known: dict[int, Decided] = {}
    for one in (*receipt.recent, head):
        before = known.get(one.sequence)
        if before is None or before.outcome == Outcome.AGAIN:
            known[one.sequence] = one
    return known


def _asked_again(receipt: Receipt, entry: Entry) -> bool:
    """Whether an `again` is about the Offer that was sent last, not about one that was answered since.

    The receipt's own outcome always is; one that it only remembers is, when the coordinator has read that Offer. An
    update that was asked for was offered, even if its acknowledgement was lost with the process that waited for it.
    """
    if not entry.offered:
        return not (entry.stage is Stage.SENDING or entry.anew)
    return receipt.sequence == entry.sequence or entry.offer_offset < receipt.next_offset
