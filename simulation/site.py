"""A simulated site: the participant's core, and a model of its shell that takes time and may fail at any point.

Knows:    what is durable in which order: body and row before anything is sent, the offer last, small facts later.
Never:    decides; that is the core's.
Source:   participant/shell/study.py, outgoing.py, follow.py, which it stands for.
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.failing import FAILS
from participant.core.study import StudyCore
from schemas.records import Announcement
from simulation.clock import ProcessEnded, Timer, cancel
from simulation.following import Follower
from simulation.link import Link
from simulation.outgoing import FLUSH_MS, Outgoing, Transfer
from simulation.process import Process
from simulation.records import Body, Floats, Model
from simulation.store import Change, Content, DiskFull, Row, Store, evaluated, settled

if TYPE_CHECKING:
    from simulation.world import World

OPERATOR_MS = 60_000
EPOCH_S = 1_700_000_000  # the wall clock when a history begins


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """One site of a history. Its training times are spread evenly by `spread`: 0.2 is 80 to 120 % of `train_ms`.

    windows   when its link is there, sorted (from_ms, to_ms); None: always
    floor     the least cohort it signs into its headers, when above the plan's
    """

    name: str
    train_ms: int = 60_000
    evaluate_ms: int = 1_000
    spread: float = 0.2
    up_bytes_s: float = 1_250_000.0
    down_bytes_s: float = 5_000_000.0
    latency_ms: int = 20
    windows: tuple[tuple[int, int], ...] | None = None
    floor: int = 1


class Site(Process):
    """One participant with its disk, its trainer and its link."""

    def __init__(self, world: "World", spec: SiteSpec, link: Link) -> None:
        super().__init__(world, spec.name, link)
        self.spec, self.plan = spec, world.plan
        self._changes = link.changes()
        self.disk = Content()
        self.disk_full = False
        self.trainer_fails = 0  # so many trainings more come to nothing
        self.damage = 0  # so many bodies more arrive damaged
        self.sends_twice = False  # the answer to an offer gets lost: it is written again
        self.copied = False  # its folder was restored from a copy at some time
        self.paused = False  # by its own operator
        self.member = True
        self.core: StudyCore
        self.store: Store
        self.follower: Follower
        self.outgoing: Outgoing
        self.state = State.AWAY
        self.connected = False
        self.joined = False
        self._trainings = 0
        self._training: Floats | None = None
        self._model: Model | None = None
        self._fetching: Transfer | None = None
        self._working: Timer | None = None
        self._training_since_ms: int | None = None
        self._alone_since_ms: int | None = None
        self._alone_left_ms = spec.train_ms
        self._wake: Timer | None = None
        self._wake_ms: int | None = None
        self._flushing = False
        self.floor = max(spec.floor, world.plan.aggregation.cohort_min)

    # -- life

    def born(self) -> None:
        """Open site.db, load task and data; join once the log can be read."""
        self.joined = self.connected = False
        self._model = self._training = self._fetching = self._working = self._wake = None
        self._wake_ms, self._training_since_ms, self._flushing = None, None, False
        self._alone_since_ms, self._alone_left_ms = None, self.spec.train_ms  # what was done went with the trainer
        self.outgoing = Outgoing(self)
        self.follower = Follower(self)
        wall_s = EPOCH_S + self.now_ms() // 1000
        self.store = Store(self.disk, wall_s << 20)
        self.store.full = self.disk_full
        self.core = StudyCore(self.plan, self.name, jitter=self.random.random, restored=self.store.restored())
        ready_ms = self.clock.now_ms + self.world.costs.load_ms
        self.clock.at(self.link.fetched_ms(ready_ms, 0), self, self._join)
        self._watch_link(bisect_right(self._changes, self.clock.now_ms, key=lambda change: change[0]))

    def died(self) -> None:
        """Bytes that had passed are counted; what was acknowledged and written of an upload stays known."""
        self.joined = False
        self.count(self._fetching)
        self.outgoing.died()

    def _join(self) -> None:
        self.joined = True
        self.connected = [connected for at_ms, connected in self._changes if at_ms <= self.clock.now_ms][-1]
        self.follower.catch_up()
        if self.paused:
            self.wish()
        self.post(seen.Linked(self.connected))
        self.follower.tell()

    def _watch_link(self, index: int) -> None:
        """Plan the next change alone: a link that flaps for months has thousands."""
        if index < len(self._changes):
            self.clock.at(self._changes[index][0], self, self._link_changed, index)

    def _link_changed(self, index: int) -> None:
        connected = self._changes[index][1]
        self._watch_link(index + 1)
        if self.joined and connected != self.connected:
            self.connected = connected
            self.post(seen.Linked(connected))

    def _alarm(self, message: str) -> None:
        """Work that fails, and names used twice after an old copy, are faults; nothing else may be alarming."""
        if not (self.copied or message.startswith(tuple(FAILS.values()))):
            self.world.story.broken("alarm", f"{self.name}: {message}")

    def _halt(self, message: str) -> None:
        """The service ends itself: going on would do harm. Its operator moves the folder away and begins with none."""
        if not self.copied:
            self.world.story.broken("alarm", f"{self.name} halts: {message}")
        self.disk, self.restart_after_ms = Content(), OPERATOR_MS
        raise ProcessEnded(f"halted: {message}")

    def membership_changed(self) -> None:
        """The roster lists this site, or does not any more."""
        if self.joined:
            self.follower.tell()

    # -- the core

    def post(self, *events: Event) -> None:
        """Tell the core facts that became known together, and do what it wants."""
        core = self.core
        for event in events:
            self.world.story.note(self.name, event)
        for effect in core.on_all(events, self.now_ms()):
            if self.effects_left is not None:
                self.hazard()
            self._do(effect)
        wake_ms = core.wake_ms
        if wake_ms != self._wake_ms:
            self._set_timer(wake_ms)

    def _set_timer(self, wake_ms: int | None) -> None:
        cancel(self._wake)
        self._wake, self._wake_ms = None, wake_ms
        if wake_ms is not None:
            self._wake = self.clock.after(max(0, wake_ms - self.now_ms() + 1), self, self._woken)

    def _woken(self) -> None:
        self._wake_ms = None
        self.post(seen.Tick())

    def _do(self, effect: Effect) -> None:
        match effect:
            case do.Show():
                self.state = effect.state
            case do.Fetch():
                self._fetch(effect.version)
            case do.Train():
                self._train(effect.base_version)
            case do.Seal():
                self.clock.after(self.world.costs.seal_ms, self, self._seal, effect.base_version, effect.stands_for)
            case do.Send():
                self.outgoing.send(effect.sequence, effect.anew)
            case do.Settle():
                self._settle(effect)
            case do.Evaluate():
                self._working = self.clock.after(self.spec.evaluate_ms, self, self._evaluated, effect.version)
            case do.RunAlone():
                self._alone_since_ms = self.clock.now_ms
                self._working = self.clock.after(self._alone_left_ms, self, self._alone_ended)
            case do.StopFetching():
                self._stop_fetching()
            case do.StopWork():
                self._stop_work()
            case do.StopSending():
                self.outgoing.stop()
            case do.Alarm():
                self._alarm(effect.message)
            case do.Halt():
                self._halt(effect.message)

    # -- models

    def _fetch(self, version: int) -> None:
        announced = self.follower.told
        assert announced is not None
        assert announced.version == version
        size = 4 * self.plan.parameters
        transfer = self._fetching = Transfer("down", self.clock.now_ms, size)
        transfer.timer = self.clock.at(self.link.fetched_ms(self.clock.now_ms, size), self, self._fetched, announced)

    def _fetched(self, announced: Announcement) -> None:
        self.count(self._fetching)
        self._fetching = None
        model = self.world.log.models.get(announced.model.body.runs[0][0])
        if model is None or model.digest != announced.model.digest or self.disk_full:
            self.post(seen.FetchFailed(announced.version))
            return
        self._model = model
        self.post(seen.Fetched(announced.version))

    def _evaluated(self, version: int) -> None:
        model = self._model
        assert model is not None
        assert model.version == version
        value = self.world.vectors.measure(self.name, model)
        try:
            self.store.flush()
        except DiskFull:
            self.post(seen.EvaluationFailed(version))
            return
        if value is None:
            self.store.note(evaluated(version))
        else:
            self.world.story.measured(self.name, version, *value)
            self.outgoing.evaluation(model, *value)
        self.post(seen.Evaluated(version))

    def _stop_fetching(self) -> None:
        transfer, self._fetching = self._fetching, None
        if transfer is not None:
            cancel(transfer.timer)
            self.count(transfer)

    # -- updates

    def _train(self, base_version: int) -> None:
        spec = self.spec
        took_ms = max(1, round(spec.train_ms * (1 + spec.spread * (2 * self.random.random() - 1))))
        self._training_since_ms = self.clock.now_ms
        self._working = self.clock.after(took_ms, self, self._trained, base_version, took_ms)

    def _trained(self, base_version: int, took_ms: int) -> None:
        self._training_since_ms = None
        if self.trainer_fails:
            self.trainer_fails -= 1
            self.post(seen.TrainingFailed(base_version, again=True))
            return
        assert self._model is not None
        assert self._model.version == base_version
        self._trainings += 1
        self._training = self.world.vectors.train(self.name, self._model)
        self.world.story.trained(self.name, base_version, took_ms)
        self.post(seen.Trained(base_version))

    def _stop_work(self) -> None:
        cancel(self._working)
        if self._training_since_ms is not None:
            self.world.story.stopped(self.name, self.clock.now_ms - self._training_since_ms)
            self._training_since_ms = None
        if self._alone_since_ms is not None:  # what was done of a baseline is kept
            self._alone_left_ms -= self.clock.now_ms - self._alone_since_ms
            self._alone_since_ms = None

    def _alone_ended(self) -> None:
        self._alone_since_ms = None
        self.post(seen.AloneEnded(True))

    def _seal(self, base_version: int, stands_for: float) -> None:
        sequence = self.store.sequence_next()
        in_range = not self.damage
        self.damage = max(0, self.damage - 1)
        body = Body(self.name, sequence, in_range, self.world.vectors.encode(self.name, self._training, stands_for))
        named = header(self.name, sequence, f"{base_version}/{self.life}/{self._trainings}")
        try:
            self.store.put(sequence, Row(base_version, self.follower.digests[base_version], named, body))
        except DiskFull:
            self.post(seen.SealFailed(base_version))
            return
        self._training = None
        self.world.story.sealed(self.name, sequence, base_version, self._trainings)
        self.post(seen.Sealed(base_version, sequence))

    def _settle(self, effect: do.Settle) -> None:
        self.later(settled(effect.sequence, again=effect.again, counted=effect.outcome == "counted"))
        self.world.story.settled(self, effect.sequence, effect.outcome)

    # -- the disk, and small things

    def later(self, change: Change) -> None:
        """Take a change now, and to the disk within some seconds."""
        self.store.note(change)
        self._flush_later()

    def _flush_later(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.clock.after(FLUSH_MS, self, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            self.store.flush()
        except DiskFull:
            self._flush_later()

    def wish(self) -> None:
        """The site's own operator pauses it, or lets it go on; written down, so that a restart knows."""
        if self.joined:
            self.post(seen.Held("paused by the operator" if self.paused else "", by="operator"))

    def set_disk_full(self, full: bool) -> None:
        self.disk_full = full
        if self.alive:
            self.store.full = full

    def count(self, transfer: Transfer | None) -> None:
        """Tell how many bytes of a transfer have passed."""
        if transfer is None or transfer.size_bytes == 0:
            return
        moved = transfer.size_bytes
        if transfer.timer is None or transfer.timer[0] > self.clock.now_ms:
            up = transfer.direction == "up"
            moved = self.link.moved(transfer.began_ms, self.clock.now_ms, transfer.size_bytes, up=up)
        if moved:
            self.world.story.bytes_moved(self.name, transfer.direction, moved)


def header(site: str, sequence: int, update: str) -> bytes:
    """SHA-256 of a header: each update has its own."""
    return hashlib.sha256(f"{site}/{sequence} {update}".encode()).digest()
