"""What a site does next in one study: a pure machine, facts in, effects out.

Knows:    what waits in the outbox, what receipts say of it, what holds the site up, and when to try again.
Never:    awaits, reads a clock, a file or randomness (`jitter` is handed in), holds a vector.
Imports:  stdlib, schemas.   Used by: participant.shell, simulation, tests.

What is fetched, measured and trained from is decided in participant.core.work. One finished update at most waits
unsent. A pause stops everything; what is finished stays in the outbox and goes out when the pause ends.
"""

from collections.abc import Callable, Iterable

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.failing import Failing
from participant.core.holds import Holds
from participant.core.outbox import Entry, Outbox, Verdict, highest, verdicts
from participant.core.past import Past
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from participant.core.work import Work
from schemas.plan import Plan
from schemas.records import Receipt

LOADING = "loading task and data"
UNDECIDED_MAX = 1  # more would only queue up at the coordinator and grow stale
ABSENCE_MS = 300_000  # a shorter cut only interrupts a fetch: over a link that flaps none would ever end otherwise
# Training again from the same version cannot heal these; a newer version may find the roster or the plan changed.
LASTING = frozenset({"duplicate", "plan", "floor"})
RESTORED_HINT = (
    "a site's data folder is never restored from a backup; move it away and start with an empty one. Another service "
    "that sends as this site, with a second data folder, looks the same, and so does a clock that ran behind when the "
    "folder was made: end that service, or set the clock, before"
)


class StudyCore:
    """One study of one site. Feed every fact to `on`, do what it returns in order, and come back at `wake_ms`."""

    def __init__(self, plan: Plan, site: str, *, jitter: Callable[[], float], restored: Restored | None = None) -> None:
        """`jitter` gives numbers in [0, 1)."""
        restored = restored or Restored()
        self._plan, self._site, self._pauses = plan, site, Pauses(jitter)
        self._failing = Failing(self._pauses)
        self._outbox = Outbox(restored.entries, self._pauses)
        self._work = Work(plan, self._pauses, restored)
        self._holds, self._past, self._lost = Holds(), Past(plan.study, restored), ""
        self._sequence_next = restored.sequence_next
        self._connected, self._halted, self._away_ms = False, False, 0
        self._receipt: Receipt | None = None  # the newest of this site
        self._shown: State | None = None
        self._now_ms = 0
        self._effects: list[Effect] = []

    @property
    def state(self) -> State:
        """What this site does in the study right now."""
        if self._holds.held or self._halted:
            return State.PAUSED
        if self._work.busy and not self._work.waits_to_seal:
            return State.TRAINING
        if not self._connected:
            return State.AWAY
        if self._failing.reasons or self._work.waits_to_seal:
            return State.FAILING
        if self._outbox.unsent():
            return State.SENDING
        if self._work.fetching is not None:
            return State.FETCHING
        if self._outbox:
            return State.WAITING
        if self._holds.loading:
            return State.LOADING
        if self._holds.reason:
            return State.PAUSED
        return State.FAILING if self._failing.at_all else State.IDLE

    @property
    def held(self) -> str:
        """Why nothing new is begun, or comes to nothing; empty when all is well."""
        reasons = [self._holds.reason, *self._failing.reasons]
        return "; ".join(reason for reason in reasons if reason) or LOADING * self._holds.loading

    @property
    def failing(self) -> dict[str, int]:
        """Failures in a row by kind of work; see participant.core.failing."""
        return self._failing.counts

    @property
    def left(self) -> bool:
        """Whether the site may go: nothing is at work, and what was finished is settled, or held with the study."""
        return self._holds.leaving and not self._work.at_work and (not self._outbox or self._holds.closed)

    @property
    def making(self) -> bool:
        """Whether an update is being made that the outbox will have to take."""
        return self._work.making

    @property
    def outbox(self) -> tuple[Entry, ...]:
        """Undecided updates in sequence order, to look at."""
        return tuple(self._outbox.entries)

    @property
    def wake_ms(self) -> int | None:
        """When a Tick is due, on the clock that `on` is given; None when only facts can change anything."""
        if self._halted:
            return None
        times = (self._pauses.next_ms(self._now_ms), self._outbox.next_ms(self._now_ms))
        return min((time for time in times if time is not None), default=None)

    def on(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one fact; return what the shell has to do, in order. `now_ms` never falls."""
        return self.on_all([event], now_ms)

    def on_all(self, events: Iterable[Event], now_ms: int) -> list[Effect]:
        """Take facts that became known together, in order, and decide once what follows.

        A receipt comes with the Announcement of its version: decided one by one, the place it frees in the outbox
        would go to the version before.
        """
        self._now_ms = now_ms
        for event in events:
            if not self._halted:
                self._take(event)
        if not self._halted:
            self._advance()
        effects, self._effects = self._effects, []
        return effects

    def _take(self, event: Event) -> None:
        match event:
            case seen.Linked():
                self._on_link(event.connected)
            case seen.Announced():
                self._on_announced(event)
            case seen.LogRead():
                self._past.read(event.record)
                self._look_back()
            case seen.Fetched() | seen.FetchFailed():
                self._work.fetched(event, self._now_ms)
            case (
                seen.Evaluated() | seen.EvaluationFailed() | seen.Trained() | seen.TrainingFailed() | seen.AloneEnded()
            ):
                self._effects += self._work.worked(event, self._now_ms)
            case seen.Sealed():
                self._on_sealed(event)
            case seen.SealFailed():
                self._work.seal_failed(event, self._now_ms)
            case seen.Sent() | seen.SendFailed():
                self._outbox.on_send(event, self._now_ms)
                if isinstance(event, seen.Sent) and self._receipt is not None:
                    self._outbox.answered_before(event, self._receipt, self._now_ms)
            case seen.ReceiptRead():
                self._on_receipt(event.receipt)
            case seen.Requested():
                self._on_request(event)
            case seen.Held() | seen.Loading() | seen.Leaving() | seen.Room():
                if self._holds.on(event):
                    self._stop()
            case seen.Tick():
                pass

    def _on_link(self, connected: bool) -> None:
        back, long = connected and not self._connected, self._now_ms - self._away_ms >= ABSENCE_MS
        if self._connected and not connected:
            self._away_ms = self._now_ms
        self._connected = connected
        if back and long:
            self._effects += self._work.catch_up()
        if back:
            self._pauses.passed("fetch")
            self._outbox.linked()

    def _on_announced(self, event: seen.Announced) -> None:
        self._work.announced(event)
        self._look_back()

    def _look_back(self) -> None:
        """A log that ends before what this site has met on it holds the study, until it has that again."""
        newest, before = self._work.newest, self._lost
        self._lost = self._past.lost(-1 if newest is None else newest.version)
        if self._lost == before:
            return
        if not before:
            self._effects.append(do.Alarm(self._lost))
        if self._holds.on(seen.Held(self._lost, by="past")):
            self._stop()

    def _on_sealed(self, event: seen.Sealed) -> None:
        if self._work.sealed(event):
            self._outbox.add(event.sequence, event.base_version)
            self._sequence_next = event.sequence + 1

    def _on_receipt(self, receipt: Receipt) -> None:
        self._receipt = receipt
        if highest(receipt) >= self._sequence_next:
            self._halt_restored(highest(receipt))
            return
        for verdict in verdicts(receipt, self._outbox.entries):
            if verdict.again:
                self._outbox.ask_again(verdict.entry, self._now_ms)
            else:
                self._decide(verdict)
        self._outbox.named(receipt)

    def _decide(self, verdict: Verdict) -> None:
        failed = verdict.outcome in ("refused", "void")
        again = failed and verdict.code not in LASTING
        self._settle(verdict.entry, verdict.outcome, verdict, again=again)
        if verdict.outcome == "counted":
            self._work.counted += 1
            self._pauses.passed("refused")
        elif failed and not self._work.final:
            self._pauses.failed("refused", self._now_ms, pauses="train")
        if again:
            self._work.free(verdict.entry.base_version, verdict.entry.sequence)

    def _on_request(self, event: seen.Requested) -> None:
        if event.sequence >= self._sequence_next:
            self._halt_restored(event.sequence)
            return
        for entry in self._outbox.entries:
            weight = self._plan.weight(event.version - entry.base_version)
            if entry.sequence == event.sequence and weight != event.weight:
                named = f"{self._plan.study}/{self._site}/{entry.sequence}"
                self._effects.append(do.Alarm(f"a request gives {named} weight {event.weight}, the plan {weight}"))

    def _stop(self) -> None:
        self._effects += self._work.stop()
        if self._holds.closed:
            for entry in self._outbox.entries:
                self._stop_sending(entry)

    def _advance(self) -> None:
        newest = self._work.newest
        self._effects += self._work.seal_again(self._now_ms)
        if newest is not None and not self._holds.closed:
            self._effects += self._work.abandon(newest)
            self._give_up(newest)
            if not self._holds.idle:
                self._effects += self._work.go_on(newest, self._now_ms, room=self._room(), linked=self._connected)
            self._send()
        self._effects += self._failing.alarms()
        if self.state != self._shown:
            self._shown = self.state
            self._effects.append(do.Show(self.state))

    def _give_up(self, newest: seen.Announced) -> None:
        """Settle what was not offered and can no longer count.

        What was offered before stays until its receipt says what became of it, after the end too: an Announcement may
        be read before the receipts that were written with it.
        """
        if self._connected:
            for entry in self._outbox.given_up(self._work.late, self._now_ms):
                self._settle(entry, "ended" if newest.final else "stale")
        self._outbox.remind(newest.version, self._now_ms)

    def _send(self) -> None:
        entry = self._outbox.to_send(self._now_ms)
        if entry is not None:
            self._effects.append(do.Send(entry.sequence, entry.begin()))

    def _room(self) -> bool:
        """Whether the outbox may take one more update."""
        return self._holds.has_room and not self._outbox.unsent() and len(self._outbox) < UNDECIDED_MAX

    def _stop_sending(self, entry: Entry) -> None:
        if entry.sending:
            entry.sending = False
            self._effects.append(do.StopSending(entry.sequence))

    def _settle(self, entry: Entry, outcome: str, verdict: Verdict | None = None, *, again: bool = False) -> None:
        self._stop_sending(entry)
        self._outbox.entries.remove(entry)
        if not self._outbox.unsent():
            self._pauses.passed("send")
        said = (verdict.code, verdict.version, verdict.weight) if verdict else (None, None, 0)
        self._effects.append(do.Settle(entry.sequence, outcome, again, *said))

    def _halt_restored(self, sequence: int) -> None:
        self._halted = True
        self._effects.append(
            do.Halt(
                f"restored from an old copy: the log of study {self._plan.study} knows update {sequence} of "
                f"{self._site}, site.db ends before {self._sequence_next}",
                RESTORED_HINT,
            )
        )
