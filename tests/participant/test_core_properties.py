"""Whatever happens in whatever order, a site keeps its promises: a core against a small world that misbehaves."""

import random
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.core.restored import Restored
from participant.core.study import StudyCore
from participant.core.undecided import UNDECIDED_MAX
from schemas.records import Outcome
from tests.participant.driving import FIRST, plan, receipt, rests
from tests.schemas.plans import WEIGHTS

STALENESS_MAX = len(WEIGHTS) - 1


@dataclass
class World:
    """A coordinator, a disk and a trainer in a few lines; its dice are seeded. Keeps site.db over restarts."""

    dice: random.Random
    core: StudyCore = field(init=False)
    version: int = 0
    final: bool = False
    connected: bool = False
    now_ms: int = 0
    next_sequence: int = FIRST
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)  # sequence -> (base version, offset of its Offer)
    trained: dict[int, int] = field(default_factory=dict)
    offers: list[int] = field(default_factory=list)  # every Offer on the log
    counted: list[int] = field(default_factory=list)
    open: list[Event] = field(default_factory=list)  # answers under way
    fetched: list[int] = field(default_factory=list)
    evaluated: int = -1
    halted: bool = False
    paused: bool = False
    leaving: bool = False
    room: bool = True
    loading: bool = False

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """The process starts (again): what was under way is gone, what is in site.db is not."""
        self.open = []
        entries = tuple((sequence, base, offset) for sequence, (base, offset) in self.rows.items())
        restored = Restored(entries, dict(self.trained), self.next_sequence, self.evaluated)
        self.core = StudyCore(plan(every=3, alone=True), "site-1", jitter=self.dice.random, restored=restored)
        self.order(paused=self.paused, leaving=self.leaving, room=self.room)
        self.load(True)
        self.tell(seen.Held(""))
        self.tell(seen.Linked(self.connected))
        self.tell(seen.Announced(self.version, self.final))

    def order(self, *, paused: bool, leaving: bool, room: bool) -> None:
        """What the operator wants, and what the outbox has room for, are told."""
        self.room = room
        self.tell(seen.Room(room))
        self.leaving = leaving
        self.tell(seen.Leaving(leaving))
        self.paused = paused
        self.tell(seen.Held("paused" if paused else "", by=seen.Holder.OPERATOR))

    def load(self, loading: bool) -> None:
        """Task and data are loaded, or not any more."""
        self.loading = loading
        self.tell(seen.Loading(loading))

    def tell(self, event: Event) -> None:
        for effect in self.core.on(event, self.now_ms):
            self.obey(effect)
        unsent = [entry for entry in self.core.outbox if not entry.offered and not entry.anew]
        assert len(unsent) <= 1, "more than one finished update waits unsent"
        assert len(self.core.outbox) <= UNDECIDED_MAX

    def obey(self, effect: Effect) -> None:
        answer: Event | None = None
        if isinstance(effect, do.Fetch | do.Evaluate | do.Train | do.RunAlone | do.Send):
            assert not self.paused, "something is begun in a pause"
            assert isinstance(effect, do.Send) or not self.leaving, "something new is begun by one who leaves"
            assert isinstance(effect, do.Send) or not self.loading, "something new is begun without task and data"
        assert self.room or not isinstance(effect, do.Train), "an update is trained that the outbox has no room for"
        match effect:
            case do.Fetch():
                assert effect.version == self.version, "an old version is fetched"
                self.fetched.append(effect.version)
                answer = self.either(seen.Fetched(effect.version), seen.FetchFailed(effect.version))
            case do.StopFetching():
                self.drop(seen.Fetched, seen.FetchFailed)
            case do.Evaluate():
                answer = self.either(seen.Evaluated(effect.version), seen.EvaluationFailed(effect.version))
            case do.Train():
                assert not self.final
                assert effect.base_version not in self.trained, "trained twice from one version"
                assert self.version - effect.base_version <= STALENESS_MAX
                failed = seen.TrainingFailed(effect.base_version, self.dice.random() < 0.5)
                answer = self.either(seen.Trained(effect.base_version), failed)
            case do.RunAlone():
                answer = self.either(seen.AloneEnded(True), seen.AloneEnded(False))
            case do.StopWork():
                self.drop(seen.Evaluated, seen.EvaluationFailed, seen.Trained, seen.TrainingFailed, seen.AloneEnded)
            case do.Seal():
                answer = self.seal(effect.base_version)
            case do.Send():
                assert effect.sequence in self.rows, "something is sent that site.db has not got"
                answer = self.either(seen.Sent(effect.sequence, len(self.offers)), seen.SendFailed(effect.sequence))
            case do.StopSending():
                self.drop(seen.Sent, seen.SendFailed)
            case do.Settle():
                self.settle(effect)
            case do.Halt():
                self.halted = True
            case do.Show() | do.Alarm():
                pass
        if answer is not None:
            self.open.append(answer)

    def either(self, well: Event, badly: Event) -> Event:
        return well if self.dice.random() < 0.8 else badly

    def drop(self, *kinds: type) -> None:
        self.open = [event for event in self.open if not isinstance(event, kinds)]

    def seal(self, base_version: int) -> Event:
        if self.dice.random() < 0.2:
            return seen.SealFailed(base_version)
        sequence, self.next_sequence = self.next_sequence, self.next_sequence + 1
        self.rows[sequence] = (base_version, -1)
        self.trained[base_version] = sequence
        return seen.Sealed(base_version, sequence)

    def settle(self, effect: do.Settle) -> None:
        base_version, _ = self.rows.pop(effect.sequence)
        if effect.again and self.trained.get(base_version) == effect.sequence:
            del self.trained[base_version]

    def step(self) -> None:
        """One thing happens."""
        self.now_ms += self.dice.choice((0, 10, 1000))
        chance = self.dice.random()
        if self.open and chance < 0.55:
            self.answer(self.open.pop(self.dice.randrange(len(self.open))))
        elif chance < 0.65:
            self.connected = not self.connected
            self.tell(seen.Linked(self.connected))
        elif chance < 0.75 and not self.final:
            self.version += self.dice.choice((1, 1, 1, STALENESS_MAX + 1))
            self.tell(seen.Announced(self.version, False))
        elif chance < 0.9 and self.offers:
            self.decide()
        elif chance < 0.92:
            self.start()
        elif chance < 0.96:
            paused, leaving, room = (self.dice.random() < share for share in (0.3, 0.1, 0.8))
            self.order(paused=paused, leaving=leaving, room=room)
        elif chance < 0.99:
            self.load(not self.loading)
        else:
            self.tick()

    def tick(self) -> None:
        if self.core.wake_ms is not None:
            self.now_ms = max(self.now_ms, self.core.wake_ms)
            self.tell(seen.Tick())

    def answer(self, event: Event) -> None:
        if isinstance(event, seen.Sent):
            self.offers.append(event.sequence)
            event = seen.Sent(event.sequence, len(self.offers) - 1)
            if event.sequence in self.rows:
                self.rows[event.sequence] = (self.rows[event.sequence][0], event.offset)
        if isinstance(event, seen.Evaluated):
            self.evaluated = max(self.evaluated, event.version)
        self.tell(event)

    def decide(self) -> None:
        """A receipt for the newest Offer; Kafka may also repeat an old one."""
        sequence = self.dice.choice((self.offers[-1], self.offers[-1], self.offers[0]))
        outcome = self.dice.choice(tuple(Outcome))
        if outcome is Outcome.COUNTED and sequence not in self.counted:
            self.counted.append(sequence)
        code = self.dice.choice(("range", "floor", "epoch")) if outcome is Outcome.REFUSED else None
        self.tell(seen.ReceiptRead(receipt(sequence, outcome, code=code, next_offset=len(self.offers))))

    def calm_down(self) -> None:
        """From now on everything works: the study ends, and time passes."""
        self.dice = random.Random(0)
        self.either = lambda well, badly: well  # type: ignore[method-assign]  # a world without mishaps
        self.connected = True
        self.order(paused=False, leaving=False, room=True)
        self.load(False)
        self.tell(seen.Linked(True))
        self.version, self.final = self.version + 1, True
        self.tell(seen.Announced(self.version, True))
        for _ in range(60):
            if self.open:
                self.answer(self.open.pop(0))
            else:
                self.refuse_the_rest()
                self.tick()

    def refuse_the_rest(self) -> None:
        """A study that is over answers whatever is offered."""
        for sequence in sorted(sequence for sequence, (_, offset) in self.rows.items() if offset >= 0):
            refused = receipt(sequence, Outcome.REFUSED, code="final", next_offset=len(self.offers))
            self.tell(seen.ReceiptRead(refused))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 120))
@example(seed=231, steps=117)  # over while training had failed again and again
def test_whatever_happens_no_version_is_trained_twice_and_every_study_comes_to_rest(seed: int, steps: int) -> None:
    world = World(random.Random(seed))
    for _ in range(steps):
        world.step()
    assert not world.halted
    world.calm_down()
    assert rests(world.core)
    assert not world.rows
    assert world.evaluated == world.version


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_in_a_world_without_mishaps_each_version_gets_one_update(seed: int) -> None:
    world = World(random.Random(seed))
    world.either = lambda well, badly: well  # type: ignore[method-assign]  # a world without mishaps
    world.connected = True
    world.load(False)
    world.tell(seen.Linked(True))
    for version in range(1, 6):
        while not (world.offers and world.trained.get(version - 1) == world.offers[-1]):
            if world.open:
                world.answer(world.open.pop(0))
            else:
                world.tick()
        world.tell(seen.ReceiptRead(receipt(world.offers[-1], Outcome.COUNTED)))
        world.version = version
        world.tell(seen.Announced(version, False))
    assert world.offers == [FIRST + number for number in range(5)]
    assert world.fetched == [0, 1, 2, 3, 4, 5]
