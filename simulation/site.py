"""A simulated site: the participant's core, and a model of its shell that takes time and may fail at any point.

Knows:    what is told to the core when, and which part does what it wants.
Never:    decides; that is the core's.
Source:   participant/shell/study.py and jobs/doing.py, which it stands for.
"""

from bisect import bisect_right
from dataclasses import dataclass

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.failing import kinds_of
from participant.core.jobs import JOBS
from participant.core.stage import Fate
from participant.core.study import StudyCore
from simulation.clock import ProcessEnded, Timer, cancel
from simulation.desk import Desk
from simulation.fetching import Fetching
from simulation.following import Follower
from simulation.link import Link
from simulation.outgoing import Outgoing
from simulation.premises import Premises, SiteSpec, Wish
from simulation.scene import Scene
from simulation.setup import Setup
from simulation.store import Content, settled
from simulation.training import Training

OPERATOR_MS = 60_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What one life of a site has in memory."""

    core: StudyCore
    follower: Follower
    fetching: Fetching
    outgoing: Outgoing
    training: Training
    setup: Setup
    desk: Desk

    @classmethod
    def of(cls, site: Premises) -> "Parts":
        """Of a life that begins now, with what site.db remembers."""
        core = StudyCore(site.plan, site.name, jitter=site.random.random, restored=site.store.restored())
        follower, fetching, setup = Follower(site), Fetching(site), Setup(site)
        outgoing = Outgoing(site, follower)
        training = Training(site, fetching, outgoing, setup)
        return cls(core, follower, fetching, outgoing, training, setup, Desk(site, setup, lambda: core.left))


FAILS = tuple(kind.fails for kind in kinds_of(JOBS).values())


class Site(Premises):
    """One participant with its disk, its trainer and its link."""

    def __init__(self, scene: Scene, spec: SiteSpec, link: Link) -> None:
        super().__init__(scene, spec, link)
        self._changes = link.changes()
        self.state = State.AWAY
        self.connected = False
        self.has_room = True  # as the core was told
        self._wake: Timer | None = None
        self._wake_ms: int | None = None
        self._parts = Parts.of(self)

    @property
    def core(self) -> StudyCore:
        """Of its present life, or of its last."""
        return self._parts.core

    # -- life

    def born(self) -> None:
        """Open site.db, hear what the operator wants, load task and data; meanwhile join once the log can be read."""
        self.joined = self.connected = False
        self._wake, self._wake_ms = None, None
        self.has_room = True
        self.open_store()
        self._parts = Parts.of(self)
        self.clock.at(self.link.fetched_ms(self.clock.now_ms, 0), self, self._join)
        self._watch_link(bisect_right(self._changes, self.clock.now_ms, key=lambda change: change[0]))
        self.look_for_room()
        self._parts.desk.take(seen.Loading(True))

    def died(self) -> None:
        """Bytes that had passed are counted; what was acknowledged and written of an upload stays known."""
        self.joined = False
        self._parts.fetching.died()
        self._parts.outgoing.died()

    def _join(self) -> None:
        self.joined = True
        self.connected = [connected for at_ms, connected in self._changes if at_ms <= self.clock.now_ms][-1]
        self._parts.follower.catch_up()
        self.post(seen.Linked(self.connected))
        self._parts.follower.tell()

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
        if not (self.copied or message.startswith(FAILS)):
            self.scene.story.broken("alarm", f"{self.name}: {message}")

    def _halt(self, message: str) -> None:
        """The service ends itself: going on would do harm. Its operator moves the folder away and begins with none."""
        if not self.copied:
            self.scene.story.broken("alarm", f"{self.name} halts: {message}")
        self.disk, self.restart_after_ms = Content(), OPERATOR_MS
        raise ProcessEnded(f"halted: {message}")

    def decided(self, rounds: bool) -> None:
        """There is something new on `rounds`, or about this site on `receipts` alone."""
        if self.joined:
            self._parts.follower.wake(rounds=rounds, receipts=True)

    def membership_changed(self) -> None:
        """The roster lists this site, or does not any more."""
        if self.joined:
            self._parts.follower.tell()

    # -- the core

    def post(self, *events: Event) -> None:
        """Tell the core facts that became known together, and do what it wants."""
        core = self.core
        for event in events:
            self.scene.story.note(self.name, event)
        for effect in core.on_all(events, self.now_ms()):
            if self.doom is not None:
                self.hazard(type(effect).__name__)
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
                self._parts.training.train(effect.base_version)
            case do.Seal():
                self._seal(effect)
            case do.Send():
                self._parts.outgoing.send(effect.sequence, effect.anew)
            case do.Settle():
                self._settle(effect)
            case do.Evaluate():
                self._parts.training.evaluate(effect.version)
            case do.RunAlone():
                self._parts.training.run_alone()
            case do.StopFetching():
                self._parts.fetching.stop()
            case do.StopWork():
                self._parts.training.stop()
            case do.StopSending():
                self._parts.outgoing.stop()
            case do.Alarm():
                self._alarm(effect.message)
            case do.Halt():
                self._halt(effect.message)

    def _fetch(self, version: int) -> None:
        announced = self._parts.follower.told
        assert announced is not None
        assert announced.version == version
        self._parts.fetching.fetch(announced)

    def _seal(self, effect: do.Seal) -> None:
        seal_ms = self.scene.costs.seal_ms
        self.clock.after(seal_ms, self, self._parts.outgoing.seal, effect.base_version, effect.stands_for)

    def _settle(self, effect: do.Settle) -> None:
        self.later(settled(effect.sequence, again=effect.again, counted=effect.fate is Fate.COUNTED))
        self.scene.story.settled(self.name, effect.sequence, effect.fate)

    def look_for_room(self) -> None:
        """Other studies may fill the outbox."""
        if self.alive and self.trouble.no_room == self.has_room:
            self.has_room = not self.has_room
            self.post(seen.Room(self.has_room))

    def wished(self, wish: Wish) -> None:
        """The site's own operator pauses it, takes it out, or lets it go on."""
        self.wish = wish
        if self.alive:
            self.clock.after(0, self, self._parts.desk.take)
