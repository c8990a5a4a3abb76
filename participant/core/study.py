"""What a site does next in one study: a pure machine, facts in, effects out.

Knows:    what waits in the outbox, what receipts say of it, what holds the site up, and when to try again.
Never:    awaits, reads a clock, a file or randomness (`jitter` is handed in), holds a vector.

What is fetched, measured and trained from is decided in participant.core.work, what becomes of a finished update in
participant.core.undecided. One finished update at most waits unsent. A pause stops everything; what is finished stays
in the outbox and goes out when the pause ends.
"""

from collections.abc import Callable, Iterable

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.failing import Failing
from participant.core.holds import Holds
from participant.core.jobs import JOBS
from participant.core.outbox import Entry
from participant.core.past import Past
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from participant.core.undecided import Undecided
from participant.core.work import Work
from schemas.plan import Plan

LOADING = "loading task and data"
ABSENCE_MS = 300_000  # a shorter cut only interrupts a fetch: over a link that flaps none would ever end otherwise


class StudyCore:
    """One study of one site. Feed every fact to `on`, do what it returns in order, and come back at `wake_ms`."""

    def __init__(self, plan: Plan, site: str, *, jitter: Callable[[], float], restored: Restored | None = None) -> None:
        """`jitter` gives numbers in [0, 1)."""
        restored = restored or Restored()
        self._pauses = Pauses(jitter)
        self._failing = Failing(self._pauses, JOBS)
        self._work = Work(plan, self._pauses, restored, JOBS)
        self._undecided = Undecided(plan, site, self._pauses, self._work, restored)
        self._holds, self._past, self._lost = Holds(), Past(plan.study, restored), ""
        self._connected, self._halted, self._away_ms = False, False, 0
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
        if self._undecided.unsent:
            return State.SENDING
        if self._work.fetching is not None:
            return State.FETCHING
        if self._undecided.entries:
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
        return self._holds.leaving and not self._work.at_work and (not self._undecided.entries or self._holds.closed)

    @property
    def making(self) -> bool:
        """Whether an update is being made that the outbox will have to take."""
        return self._work.making

    @property
    def outbox(self) -> tuple[Entry, ...]:
        """Undecided updates in sequence order, to look at."""
        return self._undecided.entries

    @property
    def wake_ms(self) -> int | None:
        """When a Tick is due, on the clock that `on` is given; None when only facts can change anything."""
        if self._halted:
            return None
        times = (self._pauses.next_ms(self._now_ms), self._undecided.next_ms(self._now_ms))
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
                self._halted = any(isinstance(effect, do.Halt) for effect in self._effects)
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
            case seen.Sealed() if self._work.is_at(event):
                self._undecided.sealed(event)
                self._effects += self._work.worked(event, self._now_ms)
            case seen.Sent() | seen.SendFailed():
                self._undecided.on_send(event, self._now_ms)
            case seen.ReceiptRead():
                self._effects += self._undecided.on_receipt(event.receipt, self._now_ms)
            case seen.Requested():
                self._effects += self._undecided.on_request(event)
            case seen.Held() | seen.Loading() | seen.Leaving() | seen.Room():
                if self._holds.on(event):
                    self._stop()
            case _ if self._work.hears(event):
                self._effects += self._work.worked(event, self._now_ms)
            case _:  # time has passed
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
            self._undecided.linked()

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
        if self._holds.on(seen.Held(self._lost, by=seen.Holder.PAST)):
            self._stop()

    def _stop(self) -> None:
        self._effects += self._work.stop()
        if self._holds.closed:
            self._effects += self._undecided.stop_sending()

    def _advance(self) -> None:
        newest = self._work.newest
        self._effects += self._work.again(self._now_ms)
        if newest is not None and not self._holds.closed:
            self._effects += self._work.abandon(newest)
            self._effects += self._undecided.give_up(newest, self._now_ms, connected=self._connected)
            if not self._holds.idle:
                room = self._holds.has_room and self._undecided.has_room
                self._effects += self._work.go_on(newest, self._now_ms, room=room, linked=self._connected)
            self._effects += self._undecided.send(self._now_ms)
        self._effects += self._failing.alarms()
        if self.state != self._shown:
            self._shown = self.state
            self._effects.append(do.Show(self.state))
