"""What the parts of a simulated site share: what it is, its disk, what is about to go wrong there, and its core's ear.

Knows:    what outlives a process (disk, troubles, wishes) and what does not (site.db's changes that were not written).
Never:    decides, sends or trains; its parts do.
"""

from abc import abstractmethod
from dataclasses import dataclass

from participant.core.events import Event
from simulation.link import Link
from simulation.process import Process, SitePoint
from simulation.roster import FIRST_KEY
from simulation.scene import Scene
from simulation.store import Change, Content, DiskFull, Store
from simulation.transfer import Transfer

FLUSH_MS = 5_000
EPOCH_S = 1_700_000_000  # the wall clock when a history begins


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """One site of a history. Its training times are spread evenly by `spread`: 0.2 is 80 to 120 % of `train_ms`.

    windows   when its link is there, sorted (from_ms, to_ms); None: always
    floor     the least cohort it signs into its headers, when above the plan's
    judges    it has nobody to train on: it measures versions, and sends no update
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
    judges: bool = False


@dataclass(slots=True)
class Trouble:
    """What faults have in store for a site; whatever restarts, it stays until it has happened."""

    disk_full: bool = False
    trainer_fails: int = 0  # so many trainings, or baselines, more come to nothing
    measuring_fails: int = 0  # so many measurements
    load_fails: int = 0  # so many times more task and data cannot be loaded
    send_fails: int = 0  # so many times more the broker refuses what is sent
    no_room: bool = False  # other studies fill the outbox
    damage: int = 0  # so many bodies more arrive damaged
    sends_twice: bool = False  # the answer to an offer gets lost: it is written again


@dataclass(frozen=True, slots=True)
class Wish:
    """What a site's own operator wants; a restart knows it. `back_ms`: when a site that leaves is started again."""

    paused: bool = False
    leaving: bool = False
    back_ms: int = 0


class Premises(Process):
    """A site as its parts see it. `store` is site.db as this life has opened it."""

    def __init__(self, scene: Scene, spec: SiteSpec, link: Link) -> None:
        super().__init__(scene, spec.name, link)
        self.spec, self.plan = spec, scene.plan
        self.floor = max(spec.floor, scene.plan.aggregation.cohort_min)
        self.disk = Content()
        self.trouble = Trouble()
        self.copied = False  # its folder was restored from a copy at some time
        self.wish = Wish()
        self.key = FIRST_KEY  # that it signs with
        self.joined = False
        self.trainings = 0  # that came off, in all its lives
        self.store = self._opened()
        self._flushing = False

    @property
    def member(self) -> bool:
        """Whether the roster lists this site, under the key that it holds."""
        return self.name in self.roster.sites and (self.name, self.key) in self.roster.keys

    @abstractmethod
    def post(self, *events: Event) -> None:
        """Tell the core facts that became known together, and do what it wants."""

    def open_store(self) -> None:
        """Open site.db as the last life left it."""
        self.store, self._flushing = self._opened(), False
        self.store.full = self.trouble.disk_full

    def _opened(self) -> Store:
        wall_s = EPOCH_S + self.now_ms() // 1000
        return Store(self.disk, wall_s << 20)

    def later(self, change: Change) -> None:
        """Take a change now, and to the disk within some seconds."""
        self.store.note(change)
        self._flush_later()

    def set_disk_full(self, full: bool) -> None:
        self.trouble.disk_full = full
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
            self.scene.story.bytes_moved(self.name, transfer.direction, moved)

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
            return
        self.hazard(SitePoint.FLUSHED)
