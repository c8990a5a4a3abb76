"""What happened, for those who look on and for the digest that names a history.

Knows:    who observes, and the base version of each update that is on its way.
"""

import hashlib
from collections.abc import Mapping, Sequence

from coordinator.core.bookmark import Marked
from coordinator.core.events import Close, Evaluated
from protocol.rounds import RoundsRecord
from schemas.records import Announcement, Outcome, Receipt
from simulation.clock import Clock
from simulation.observe import InMemory, Observer
from simulation.records import Given, Name, SentOffer

LINES_MAX = 4096


class Story:
    """Tells observers in the order in which things happen; remembers nothing but a digest."""

    def __init__(self, clock: Clock, observers: Sequence[Observer]) -> None:
        self.observers = list(observers)
        self.clock = clock
        self._history = hashlib.sha256()
        self._lines: list[str] = []
        self._bases: dict[Name, int] = {}

    def digest(self) -> str:
        """SHA-256 over every fact, commit and receipt so far, in hex."""
        self._history.update("\n".join([*self._lines, ""]).encode())
        self._lines.clear()
        return self._history.hexdigest()

    def note(self, who: str, what: object) -> None:
        """One more fact of the history."""
        self._lines.append(f"{self.clock.now_ms} {who} {what if isinstance(what, str) else type(what).__name__}")
        if len(self._lines) > LINES_MAX:
            self.digest()

    # -- sites

    def trained(self, site: str, base_version: int, took_ms: int) -> None:
        for observer in self.observers:
            observer.on_trained(site, base_version, took_ms, self.clock.now_ms)

    def stopped(self, site: str, worked_ms: int) -> None:
        for observer in self.observers:
            observer.on_stopped(site, worked_ms, self.clock.now_ms)

    def measured(self, site: str, version: int, value: float, weight: float) -> None:
        self.note(site, f"measured {version} {value} {weight}")
        for observer in self.observers:
            observer.on_measured(site, version, value, weight, self.clock.now_ms)

    def bytes_moved(self, site: str, direction: str, size_bytes: int) -> None:
        for observer in self.observers:
            observer.on_bytes(site, direction, size_bytes, self.clock.now_ms)

    def sealed(self, site: str, sequence: int, base_version: int, training: int) -> None:
        self.note(site, f"sealed {sequence} from {base_version}")
        self._bases[site, sequence] = base_version
        for observer in self.observers:
            observer.on_sealed(site, sequence, base_version, training, self.clock.now_ms)

    def offered(self, site: str, offset: int, offer: SentOffer) -> None:
        for observer in self.observers:
            observer.on_offered(site, offset, offer, self.clock.now_ms)

    def evaluation(self, fact: Evaluated) -> None:
        for observer in self.observers:
            observer.on_evaluation(fact, self.clock.now_ms)

    def settled(self, site: str, sequence: int, outcome: str) -> None:
        self.note(site, f"settled {sequence} {outcome}")
        for observer in self.observers:
            observer.on_settled(site, sequence, outcome, self.clock.now_ms)

    # -- coordinators

    def closing(self, coefficients: Mapping[Name, int], close: Close) -> None:
        for observer in self.observers:
            observer.on_closing(coefficients, close, self.clock.now_ms)

    def bookmarked(self, bookmark: Marked) -> None:
        for observer in self.observers:
            observer.on_bookmark(bookmark, self.clock.now_ms)

    def keys_given(self, given: Sequence[Given]) -> None:
        for one in given:
            self.note("log", f"key {one.epoch} {one.member}")
        for observer in self.observers:
            observer.on_keys(given, self.clock.now_ms)

    def handled(self, coordinator: str, memory: InMemory) -> None:
        for observer in self.observers:
            observer.on_handled(coordinator, memory, self.clock.now_ms)

    def committed(
        self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], announced: Announcement | None, new: bool
    ) -> None:
        """A transaction; `new`: the version that it announces was not announced before."""
        now_ms = self.clock.now_ms
        for observer in self.observers:
            observer.on_committed(records, receipts, announced, now_ms)
        if announced is not None and new:
            self.note("log", f"version {announced.version} {announced.model.digest.hex()}")
            for observer in self.observers:
                observer.on_version(announced.version, announced.n, announced.sum_w, now_ms)
        for receipt in receipts:
            self._answered(receipt)

    def _answered(self, receipt: Receipt) -> None:
        site, sequence, now_ms = receipt.site, receipt.sequence, self.clock.now_ms
        self.note("log", f"receipt {site} {sequence} {receipt.outcome} {receipt.code}")
        base = self._bases.get((site, sequence), -1)
        if receipt.outcome == Outcome.COUNTED:
            self._bases.pop((site, sequence), None)
        for observer in self.observers:
            if receipt.outcome == Outcome.COUNTED:
                assert receipt.version is not None
                observer.on_counted(site, sequence, base, receipt.version, receipt.weight, now_ms)
            elif receipt.outcome == Outcome.REFUSED:
                observer.on_refused(site, sequence, receipt.code or "", now_ms)
            elif receipt.outcome == Outcome.VOID:
                observer.on_void(site, sequence, now_ms)

    # -- processes

    def ended(self, process: str, reason: str) -> None:
        self.note(process, f"ended: {reason}")
        for observer in self.observers:
            observer.on_ended(process, reason, self.clock.now_ms)

    def broken(self, breach: str, sentence: str) -> None:
        """A process has met what must not be."""
        for observer in self.observers:
            observer.on_broken(breach, sentence, self.clock.now_ms)
