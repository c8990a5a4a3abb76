"""What a history tells whoever looks on. All methods do nothing: override what you care for.

An observer must not change anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coordinator.core.bookmark import Marked
from coordinator.core.events import Close, Evaluated
from protocol.rounds import RoundsRecord
from schemas.records import Announcement, Receipt
from simulation.records import Given, Name, SentOffer


@dataclass(frozen=True, slots=True)
class InMemory:
    """What a leading coordinator holds: bytes of bodies, facts in its queue, and offers that it remembers."""

    body_bytes: int
    facts: int
    offers: int


class Observer:
    """Times are virtual, in milliseconds since the history began."""

    def on_trained(self, site: str, base_version: int, trained_ms: int, now_ms: int) -> None:
        """A site has trained an update for `trained_ms`."""

    def on_stopped(self, site: str, worked_ms: int, now_ms: int) -> None:
        """A site has stopped a training half-way, after `worked_ms`."""

    def on_measured(self, site: str, version: int, value: float, weight: float, now_ms: int) -> None:
        """A site has measured its primary metric of `version`."""

    def on_bytes(self, site: str, direction: str, size_bytes: int, now_ms: int) -> None:
        """Bytes have passed a site's link, `up` or `down`."""

    def on_sealed(self, site: str, sequence: int, base_version: int, training: int, now_ms: int) -> None:
        """An update stands in the outbox; `training` numbers the site's trainings, so it tells updates apart."""

    def on_offered(self, site: str, offset: int, offer: SentOffer, now_ms: int) -> None:
        """An Offer was appended to the topic of `site`, by whomever."""

    def on_evaluation(self, fact: Evaluated, now_ms: int) -> None:
        """An evaluation was appended to its site's topic."""

    def on_version(self, version: int, n: int, sum_w: int, now_ms: int) -> None:
        """A version was announced for the first time."""

    def on_counted(self, site: str, sequence: int, base_version: int, version: int, weight: int, now_ms: int) -> None:
        """An update went into `version`."""

    def on_refused(self, site: str, sequence: int, code: str, now_ms: int) -> None:
        """A receipt that refuses an update was committed."""

    def on_void(self, site: str, sequence: int, now_ms: int) -> None:
        """An update was in a round that failed."""

    def on_settled(self, site: str, sequence: int, outcome: str, now_ms: int) -> None:
        """A site takes an update out of its outbox: counted, refused, void, overtaken, stale or ended."""

    def on_committed(
        self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], announced: Announcement | None, now_ms: int
    ) -> None:
        """A transaction was committed."""

    def on_keys(self, given: Sequence[Given], now_ms: int) -> None:
        """Members were given the key of an epoch."""

    def on_bookmark(self, bookmark: Marked, now_ms: int) -> None:
        """A coordinator has written down what its successor need not read."""

    def on_closing(self, coefficients: Mapping[Name, int], close: Close, now_ms: int) -> None:
        """A coordinator is about to step with the sum it has: so often is each update in it, in 16ths."""

    def on_handled(self, coordinator: str, memory: InMemory, now_ms: int) -> None:
        """A coordinator has done what an event asked for."""

    def on_ended(self, process: str, reason: str, now_ms: int) -> None:
        """A process ended: killed, fenced, halted."""

    def on_broken(self, breach: str, sentence: str, now_ms: int) -> None:
        """A process has met what must not be."""
