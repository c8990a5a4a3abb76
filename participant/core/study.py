"""What a site does next in one study: a pure machine, facts in, effects out.

Knows:    the newest version, what was fetched, measured and trained, what waits in the outbox, and when to try again.
Never:    awaits, reads a clock, a file or randomness (`jitter` is handed in), holds a vector.
Imports:  stdlib, schemas.   Used by: participant.shell, simulation, tests.

Only the newest version is ever fetched. Once fetched it is measured and trained from, even when a newer one appears
meanwhile: over a slow link there would always be a newer one. Each base version is trained from once, unless that
update was void, or refused for a reason that training again can heal. One finished update at most waits unsent.
A pause stops everything; what is finished stays in the outbox and goes out when the pause ends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from participant.core import absence
from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.holds import Holds
from participant.core.outbox import Entry, Outbox, Verdict, highest, verdicts
from participant.core.pauses import Pauses
from participant.core.restored import Restored
from schemas.plan import Plan
from schemas.records import Receipt

UNDECIDED_MAX = 1  # more would only queue up at the coordinator and grow stale
TRIES_MAX = 3  # for what is not needed to go on, evaluations and the local baseline; for training before it is said
ABSENCE_MS = 300_000  # a shorter cut only interrupts a fetch: over a link that flaps none would ever end otherwise
TRAINING_FAILS = f"training has failed {TRIES_MAX} times in a row or more"
# Training again from the same version cannot heal these; a newer version may find the roster or the plan changed.
LASTING = frozenset({"duplicate", "plan", "floor"})


@dataclass(slots=True)
class _Work:
    """What the trainer, or the sealing, is at."""

    kind: Literal["evaluate", "train", "alone", "seal"]
    version: int


class StudyCore:
    """One study of one site. Feed every fact to `on`, do what it returns in order, and come back at `wake_ms`."""

    def __init__(self, plan: Plan, site: str, *, jitter: Callable[[], float], restored: Restored | None = None) -> None:
        """`jitter` gives numbers in [0, 1)."""
        restored = restored or Restored()
        self._plan, self._site, self._pauses = plan, site, Pauses(jitter)
        self._outbox = Outbox(restored.entries, self._pauses)
        self._trained = dict(restored.trained)
        self._sequence_next = restored.sequence_next
        self._evaluated = restored.evaluated
        self._alone_done = restored.alone_done or not plan.evaluation.alone
        self._connected, self._halted, self._away_ms = False, False, 0
        self._holds = Holds()
        self._counted = restored.counted
        self._newest: seen.Announced | None = None
        self._receipt: Receipt | None = None  # the newest of this site
        self._model: int | None = None  # the version in the file
        self._fetching: int | None = None
        self._work: _Work | None = None
        self._fresh: int | None = None  # fetched just now: to be trained from although a newer one may be out
        self._barren: int | None = None  # no update comes from this version: its training gave numbers that are none
        self._attempt = 0
        self._interrupted = 0  # local baselines given up for something more urgent
        self._shown: State | None = None
        self._now_ms = 0
        self._effects: list[Effect] = []

    @property
    def state(self) -> State:
        """What this site does in the study right now."""
        if self._holds.held or self._halted:
            return State.PAUSED
        if self._work is not None and self._work.kind != "alone":
            return State.TRAINING
        if not self._connected:
            return State.AWAY
        if self._outbox.unsent():
            return State.SENDING
        if self._fetching is not None:
            return State.FETCHING
        if self._outbox:
            return State.WAITING
        return State.PAUSED if self.held else State.IDLE

    @property
    def held(self) -> str:
        """Why nothing new is begun, or comes to nothing; empty when all is well."""
        return "; ".join(reason for reason in (self._holds.reason, TRAINING_FAILS * self._fails) if reason)

    @property
    def left(self) -> bool:
        """Whether the site may go: nothing is at work, and what was finished is settled, or held with the study."""
        return self._holds.leaving and self._work is None and (not self._outbox or self._holds.closed)

    @property
    def _fails(self) -> bool:
        """Whether training has failed so often in a row that people have to know."""
        return self._pauses.failures("train") >= TRIES_MAX

    @property
    def making(self) -> bool:
        """Whether an update is being made that the outbox will have to take."""
        return self._work is not None and self._work.kind in ("train", "seal")

    @property
    def resting(self) -> bool:
        """Whether the study is over and nothing is left to do."""
        return self._final and not self._outbox and self._work is None and self._fetching is None

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
            case seen.Fetched() | seen.FetchFailed():
                self._on_fetch(event)
            case (
                seen.Evaluated() | seen.EvaluationFailed() | seen.Trained() | seen.TrainingFailed() | seen.AloneEnded()
            ):
                self._on_work(event)
            case seen.Sealed() | seen.SealFailed():
                self._on_seal(event)
            case seen.Sent() | seen.SendFailed():
                self._outbox.on_send(event, self._now_ms)
                if isinstance(event, seen.Sent) and self._receipt is not None:
                    self._outbox.answered_before(event, self._receipt, self._now_ms)
            case seen.ReceiptRead():
                self._on_receipt(event.receipt)
            case seen.Requested():
                self._on_request(event)
            case seen.Held() | seen.Leaving() | seen.Room():
                if self._holds.on(event):
                    self._stop()
            case seen.Tick():
                pass

    def _on_link(self, connected: bool) -> None:
        back, long = connected and not self._connected, self._now_ms - self._away_ms >= ABSENCE_MS
        if self._connected and not connected:
            self._away_ms = self._now_ms
        self._connected = connected
        if back and long and self._fetching is not None and self._newest and self._fetching < self._newest.version:
            self._stop_fetching()  # after a long absence the newest version is worth more than what was begun
        if back:
            self._pauses.passed("fetch")
            self._outbox.linked()

    def _on_announced(self, event: seen.Announced) -> None:
        before = self._newest
        if before is not None and event.version < before.version:
            return
        if before is None or event.version > before.version:
            self._attempt = 0
            for kind in ("fetch", "evaluate"):
                self._pauses.passed(kind)
        elif event.final and not before.final and self._alone_wanted():
            self._evaluated = min(self._evaluated, event.version - 1)  # measure it again, with the local baseline
        self._newest = event
        oldest = event.version - self._plan.aggregation.staleness_max
        self._trained = {base: sequence for base, sequence in self._trained.items() if base >= oldest}

    def _on_fetch(self, event: seen.Fetched | seen.FetchFailed) -> None:
        if event.version != self._fetching:
            return
        self._fetching = None
        if isinstance(event, seen.Fetched):
            self._model = self._fresh = event.version
            self._pauses.passed("fetch")
        else:
            self._pauses.failed("fetch", self._now_ms)

    def _on_work(
        self, event: seen.Evaluated | seen.EvaluationFailed | seen.Trained | seen.TrainingFailed | seen.AloneEnded
    ) -> None:
        work = self._work
        if work is None:
            return
        match event:
            case seen.Evaluated() | seen.EvaluationFailed() if work == _Work("evaluate", event.version):
                self._work = None
                self._on_evaluation(event)
            case seen.Trained() if work == _Work("train", event.base_version):
                self._pauses.passed("train")
                self._begin("seal", event.base_version, self._seal(event.base_version))
            case seen.TrainingFailed() if work == _Work("train", event.base_version):
                self._work = None
                self._pauses.failed("train", self._now_ms, took_ms=event.took_ms)
                self._attempt += 1
                self._report_failures()
                self._barren = self._barren if event.again else event.base_version
            case seen.AloneEnded() if work.kind == "alone":
                self._work = None
                self._alone_done = event.done
                if not event.done:
                    self._pauses.failed("alone", self._now_ms, took_ms=event.took_ms)
            case _:
                pass

    def _report_failures(self) -> None:
        """Say it once; it goes on with longer and longer pauses, so that other studies have the trainer meanwhile."""
        if self._pauses.failures("train") == TRIES_MAX:
            self._effects.append(do.Alarm(f"{TRAINING_FAILS}; it is tried again with growing pauses"))

    def _on_evaluation(self, event: seen.Evaluated | seen.EvaluationFailed) -> None:
        if isinstance(event, seen.EvaluationFailed):
            self._pauses.failed("evaluate", self._now_ms, took_ms=event.took_ms)
            if self._pauses.failures("evaluate") < TRIES_MAX:
                return
        self._pauses.passed("evaluate")
        self._evaluated = max(self._evaluated, event.version)

    def _on_seal(self, event: seen.Sealed | seen.SealFailed) -> None:
        if self._work != _Work("seal", event.base_version):
            return
        if isinstance(event, seen.SealFailed):
            self._pauses.failed("seal", self._now_ms)
            return
        self._work = None
        self._pauses.passed("seal")
        self._outbox.add(event.sequence, event.base_version)
        self._trained[event.base_version] = event.sequence
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

    def _seal(self, base_version: int) -> do.Seal:
        return do.Seal(base_version, absence.stands_for(base_version, self._counted))

    def _decide(self, verdict: Verdict) -> None:
        failed = verdict.outcome in ("refused", "void")
        again = failed and verdict.code not in LASTING
        self._settle(verdict.entry, verdict.outcome, verdict, again=again)
        if verdict.outcome == "counted":
            self._counted += 1
            self._pauses.passed("refused")
        elif failed:
            self._pauses.failed("refused", self._now_ms, pauses="train")
        if again and self._trained.get(verdict.entry.base_version) == verdict.entry.sequence:
            del self._trained[verdict.entry.base_version]
            self._attempt += 1

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
        """Stop what can be had again; who goes on later, goes on with the version that is the newest then."""
        self._fresh = None
        self._stop_fetching()
        self._stop_work()
        if self._holds.closed:
            for entry in self._outbox.entries:
                self._stop_sending(entry)

    @property
    def _final(self) -> bool:
        return self._newest is not None and self._newest.final

    def _advance(self) -> None:
        self._seal_again()
        if self._newest is not None and not self._holds.closed:
            self._abandon(self._newest)
            if not self._holds.idle:
                self._work_on(self._newest)
                self._fetch(self._newest)
            self._send()
        if self.state != self._shown:
            self._shown = self.state
            self._effects.append(do.Show(self.state))

    def _abandon(self, newest: seen.Announced) -> None:
        """Stop what can no longer count: past the plan's table, or in a study that is over.

        What was offered before stays until its receipt says what became of it, after the end too: an Announcement may
        be read before the receipts that were written with it.
        """
        needed = newest.final and self._fetching == newest.version
        if self._fetching is not None and self._late(self._fetching) and not needed:
            self._stop_fetching()
        if self._work is not None and self._work.kind == "train" and self._late(self._work.version):
            self._stop_work()
        if self._connected:
            for entry in self._outbox.given_up(self._late, self._now_ms):
                self._settle(entry, "ended" if newest.final else "stale")
        self._outbox.remind(self._now_ms)

    def _late(self, base_version: int) -> bool:
        """Whether an update from this version, not offered yet, can never count."""
        assert self._newest is not None
        return self._newest.final or self._newest.version - base_version > self._plan.aggregation.staleness_max

    def _seal_again(self) -> None:
        """What is trained finds its way into the outbox, whatever else is held."""
        if self._work is not None and self._work.kind == "seal" and self._pauses.ends("seal", self._now_ms):
            self._effects.append(self._seal(self._work.version))

    def _work_on(self, newest: seen.Announced) -> None:
        if self._work is not None and self._work.kind != "alone":
            return
        version = self._model
        wanted = version is not None and version in (newest.version, self._fresh)
        if version is not None and wanted and self._to_evaluate(version):
            if self._evaluation_may_start(newest):
                self._stop_work()
                self._begin("evaluate", version, do.Evaluate(version))
        elif version is not None and wanted and self._may_train(version):
            self._stop_work()
            self._begin("train", version, do.Train(version, self._attempt))
        else:
            self._fresh = None
        if self._work is None and self._may_run_alone(newest):
            self._begin("alone", 0, do.RunAlone())

    def _fetch(self, newest: seen.Announced) -> None:
        busy = self._work is not None and self._work.kind != "alone"
        if busy or self._fetching is not None or not self._connected or not self._pauses.over("fetch", self._now_ms):
            return
        if self._model == newest.version or self._fresh is not None:
            return
        if self._to_evaluate(newest.version) or (self._will_train(newest.version) and self._room()):
            self._fetching = newest.version
            self._effects.append(do.Fetch(newest.version))

    def _send(self) -> None:
        entry = self._outbox.to_send(self._now_ms)
        if entry is not None:
            self._effects.append(do.Send(entry.sequence, entry.begin()))

    def _to_evaluate(self, version: int) -> bool:
        final = self._newest is not None and self._newest == seen.Announced(version, True)
        return version > self._evaluated and (final or version % self._plan.evaluation.every == 0)

    def _evaluation_may_start(self, newest: seen.Announced) -> bool:
        """The final evaluation carries the local baseline, so it waits for that."""
        return self._pauses.over("evaluate", self._now_ms) and not (newest.final and self._alone_wanted())

    def _alone_wanted(self) -> bool:
        return not self._alone_done and self._pauses.failures("alone") < TRIES_MAX

    def _may_run_alone(self, newest: seen.Announced) -> bool:
        """In a quiet moment after the first update, or when the study is over."""
        if not self._alone_wanted() or not self._pauses.over("alone", self._now_ms):
            return False
        if newest.final:
            return True
        quiet = not self._to_evaluate(newest.version) and not self._will_train(newest.version)
        return quiet and bool(self._trained) and self._interrupted < TRIES_MAX

    def _will_train(self, version: int) -> bool:
        """Whether an update from this version is wanted, now or after a pause."""
        return not self._final and version not in self._trained and version != self._barren

    def _room(self) -> bool:
        """Whether the outbox may take one more update."""
        return self._holds.has_room and not self._outbox.unsent() and len(self._outbox) < UNDECIDED_MAX

    def _may_train(self, version: int) -> bool:
        return (
            self._will_train(version)
            and self._room()
            and not self._late(version)
            and self._pauses.over("train", self._now_ms)
        )

    def _begin(self, kind: Literal["evaluate", "train", "alone", "seal"], version: int, effect: Effect) -> None:
        self._work = _Work(kind, version)
        self._effects.append(effect)

    def _stop_work(self) -> None:
        """Sealing is short and ends in the outbox; it is never stopped half-way."""
        if self._work is None or self._work.kind == "seal":
            return
        self._interrupted += self._work.kind == "alone"
        self._work = None
        self._effects.append(do.StopWork())

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._effects.append(do.StopFetching(self._fetching))
            self._fetching = None

    def _stop_sending(self, entry: Entry) -> None:
        if entry.sending:
            entry.sending = False
            self._effects.append(do.StopSending(entry.sequence))

    def _settle(self, entry: Entry, outcome: str, verdict: Verdict | None = None, *, again: bool = False) -> None:
        self._stop_sending(entry)
        self._outbox.entries.remove(entry)
        said = (verdict.code, verdict.version, verdict.weight) if verdict else (None, None, 0)
        self._effects.append(do.Settle(entry.sequence, outcome, again, *said))

    def _halt_restored(self, sequence: int) -> None:
        self._halted = True
        self._effects.append(
            do.Halt(
                f"restored from an old copy: the log of study {self._plan.study} knows update {sequence} of "
                f"{self._site}, site.db ends before {self._sequence_next}",
                "a site's data folder is never restored from a backup; move it away and start with an empty one",
            )
        )
