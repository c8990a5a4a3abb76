"""What is finished at a site and not decided yet: it is sent, reminded of, and settled by what receipts say.

Knows:    the outbox of one study, the newest receipt, which sequence comes next.
Never:    decides what is trained: that a base version is free again is told to Work.
"""

from dataclasses import dataclass

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.outbox import Entry, Outbox, Verdict, highest, verdicts
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from participant.core.stage import Fact, Fate, Stage
from participant.core.work import Work
from schemas.plan import Plan
from schemas.records import Receipt

UNDECIDED_MAX = 1  # more would only queue up at the coordinator and grow stale
# Training again from the same version cannot heal these; a newer version may find the roster or the plan changed.
LASTING = frozenset({"duplicate", "plan", "floor"})
RESTORED_HINT = (
    "a site's data folder is never restored from a backup; move it away and start with an empty one. Another service "
    "that sends as this site, with a second data folder, looks the same, and so does a clock that ran behind when the "
    "folder was made: end that service, or set the clock, before"
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What is said of an update that is taken out; `again`: its base version may be trained from once more."""

    fate: Fate
    again: bool = False
    code: str | None = None
    version: int | None = None
    weight: int = 0


class Undecided:
    """Of one study at one site. What a method returns has to be done in order."""

    def __init__(self, plan: Plan, site: str, pauses: Pauses, work: Work, restored: Restored) -> None:
        self._plan, self._site, self._pauses, self._work = plan, site, pauses, work
        self._outbox = Outbox(restored.entries, pauses)
        self._sequence_next = restored.sequence_next
        self._receipt: Receipt | None = None  # the newest of this site

    @property
    def entries(self) -> tuple[Entry, ...]:
        """In sequence order."""
        return tuple(self._outbox.entries)

    @property
    def unsent(self) -> bool:
        """Whether something waits to be offered."""
        return bool(self._outbox.unsent())

    @property
    def has_room(self) -> bool:
        """Whether the outbox may take one more update."""
        return not self.unsent and len(self._outbox) < UNDECIDED_MAX

    def next_ms(self, now_ms: int) -> int | None:
        """When something has waited long enough."""
        return self._outbox.next_ms(now_ms)

    # -- facts

    def sealed(self, event: seen.Sealed) -> None:
        """One more."""
        self._outbox.add(event.sequence, event.base_version)
        self._sequence_next = event.sequence + 1

    def linked(self) -> None:
        """The link is back."""
        self._outbox.linked()

    def on_send(self, event: seen.Sent | seen.SendFailed, now_ms: int) -> None:
        """How sending ended."""
        self._outbox.on_send(event, now_ms)
        if isinstance(event, seen.Sent) and self._receipt is not None:
            self._outbox.answered_before(event, self._receipt, now_ms)

    def on_receipt(self, receipt: Receipt, now_ms: int) -> list[Effect]:
        """What this site's newest receipt says; Halt where it knows of more than this site does."""
        self._receipt = receipt
        if highest(receipt) >= self._sequence_next:
            return [self._restored(highest(receipt))]
        effects: list[Effect] = []
        for verdict in verdicts(receipt, self._outbox.entries):
            if verdict.fate is None:
                self._outbox.ask_again(verdict.entry, now_ms)
            else:
                effects += self._decide(verdict, verdict.fate, now_ms)
        self._outbox.named(receipt)
        return effects

    def on_request(self, event: seen.Requested) -> list[Effect]:
        """A Request names an update of this site: by the plan's weight, or people have to know."""
        if event.sequence >= self._sequence_next:
            return [self._restored(event.sequence)]
        effects: list[Effect] = []
        for entry in self._outbox.entries:
            weight = self._plan.weight(event.version - entry.base_version)
            if entry.sequence == event.sequence and weight != event.weight:
                named = f"{self._plan.study}/{self._site}/{entry.sequence}"
                effects.append(do.Alarm(f"a request gives {named} weight {event.weight}, the plan {weight}"))
        return effects

    # -- what follows

    def stop_sending(self) -> list[Effect]:
        """Nothing goes out any more."""
        return [effect for entry in self._outbox.entries for effect in _stopped(entry)]

    def give_up(self, newest: seen.Announced, now_ms: int, *, connected: bool) -> list[Effect]:
        """Settle what was not offered and can no longer count; offer once more what nobody answers.

        What was offered before stays until its receipt says what became of it, after the end too: an Announcement may
        be read before the receipts that were written with it.
        """
        effects: list[Effect] = []
        if connected:
            for entry in self._outbox.given_up(self._work.late, now_ms):
                fate = Fate.ENDED if newest.final else Fate.STALE
                effects += self.settle(entry, Fact.GIVEN_UP, Settled(fate))
        self._outbox.remind(newest.version, now_ms)
        return effects

    def send(self, now_ms: int) -> list[Effect]:
        """What goes out now."""
        entry = self._outbox.to_send(now_ms)
        return [do.Send(entry.sequence, entry.begin())] if entry is not None else []

    def settle(self, entry: Entry, fact: Fact, said: Settled) -> list[Effect]:
        """Take it out of the outbox."""
        stopped = _stopped(entry)
        entry.moved(fact)
        self._outbox.entries.remove(entry)
        if not self.unsent:
            self._pauses.passed("send")
        return [*stopped, do.Settle(entry.sequence, said.fate, said.again, said.code, said.version, said.weight)]

    def _decide(self, verdict: Verdict, fate: Fate, now_ms: int) -> list[Effect]:
        failed = fate in (Fate.REFUSED, Fate.VOID)
        again = failed and verdict.code not in LASTING
        said = Settled(fate, again, verdict.code, verdict.version, verdict.weight)
        effects = self.settle(verdict.entry, Fact.DECIDED, said)
        if fate is Fate.COUNTED:
            self._work.counted()
            self._pauses.passed("refused")
        elif failed and not self._work.final:
            self._pauses.failed("refused", now_ms, pauses="train")
        if again:
            self._work.free(verdict.entry.base_version, verdict.entry.sequence)
        return effects

    def _restored(self, sequence: int) -> do.Halt:
        return do.Halt(
            f"restored from an old copy: the log of study {self._plan.study} knows update {sequence} of "
            f"{self._site}, site.db ends before {self._sequence_next}",
            RESTORED_HINT,
        )


def _stopped(entry: Entry) -> list[Effect]:
    if entry.stage is not Stage.SENDING:
        return []
    entry.moved(Fact.CUT)
    return [do.StopSending(entry.sequence)]
