"""Bodies in a coordinator's memory: fetched while the budget has room, given back when they are in the sum.

Source: coordinator/shell/spool.py and services.py, which it stands for.
"""

from collections import deque
from dataclasses import dataclass, replace

from coordinator.core.events import BodyReady, BodyUnusable, Cohort, Event, OfferFact
from simulation.lead import Lead
from simulation.records import Body, Name, SentOffer


@dataclass(slots=True)
class Spooled:
    """An offer the core works on; `body` once it is fetched, `held_bytes` of the budget are its own.

    fact   as the core was told, the first time that the offer was read: read again it is another one
    """

    offer: SentOffer
    fact: OfferFact
    body: Body | None = None
    held_bytes: int = 0
    number: int = 0  # of its newest Fetch
    fetching: bool = False


class Spool:
    """The offers that a leading coordinator remembers, and their bodies."""

    def __init__(self, run: Lead) -> None:
        self._run = run
        self._offers: dict[Name, Spooled] = {}
        self._waiting: deque[Name] = deque()  # for room
        self._pipe_free_ms = 0
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._offers)

    def hear(self, offer: SentOffer) -> OfferFact:
        """Remember an offer that was read; returns what the core is told of it."""
        name = _name(offer.fact)
        if name in self._offers:
            return replace(offer.fact)
        self._offers[name] = Spooled(offer, offer.fact)
        return offer.fact

    def fetch(self, offer: OfferFact, number: int) -> None:
        self._offers[_name(offer)].number = number
        self._waiting.append(_name(offer))
        self._fetch_more()

    def take(self, offer: OfferFact) -> Body:
        """The fetched body of an offer, whose memory is free from now on."""
        spooled = self._offers[_name(offer)]
        body = spooled.body
        assert body is not None
        self._give_back(spooled)
        return body

    def offers(self, cohort: Cohort) -> tuple[SentOffer, ...]:
        """The offers of a cohort, in the order of its entries."""
        return tuple(self._offers[_name(offer)].offer for offer in cohort.offers)

    def find(self, offer: OfferFact) -> Body | None:
        """The body of an offer, once more from the log; None when it has gone."""
        return self._run.scene.log.bodies[offer.site].get(self._offers[_name(offer)].offer.body)

    def unload(self, offer: OfferFact) -> None:
        """Stop fetching the body, or forget it; the offer goes on waiting."""
        if _name(offer) in self._waiting:
            self._waiting.remove(_name(offer))
        spooled = self._offers[_name(offer)]
        spooled.fetching = False
        self._give_back(spooled)

    def drop(self, offer: OfferFact) -> None:
        """The offer is decided."""
        if _name(offer) in self._offers:
            self.unload(offer)
            del self._offers[_name(offer)]

    def ignore(self, offer: OfferFact) -> None:
        """A repetition: what it repeats stays."""
        spooled = self._offers.get(_name(offer))
        if spooled is not None and spooled.fact is offer:
            del self._offers[_name(offer)]

    def forget(self, offer: OfferFact) -> None:
        """It was in a round that has ended."""
        self._offers.pop(_name(offer), None)

    def _fetch_more(self) -> None:
        """Fetch what the budget has room for: one body of any size, or several small ones."""
        run = self._run
        size, most = run.plan.body_bytes, run.scene.costs.spool_bytes
        while self._waiting and (self.used_bytes == 0 or self.used_bytes + size <= most):
            spooled = self._offers.get(self._waiting.popleft())
            if spooled is not None:
                self._begin(spooled, size)

    def _begin(self, spooled: Spooled, size: int) -> None:
        run = self._run
        self.used_bytes += size
        spooled.held_bytes, spooled.fetching = size, True
        start_ms = max(run.clock.now_ms, self._pipe_free_ms)
        arrives_ms = run.node.link.fetched_ms(start_ms, size)
        self._pipe_free_ms = arrives_ms - run.node.link.latency_ms
        run.clock.at(arrives_ms, run.node, self._fetched, spooled, spooled.number)

    def _fetched(self, spooled: Spooled, number: int) -> None:
        if not self._run.over and spooled.fetching and spooled.number == number:
            spooled.fetching = False
            self._run.post(self._judge(spooled))

    def _judge(self, spooled: Spooled) -> Event:
        fact = spooled.offer.fact
        body = self._run.scene.log.bodies[fact.site].get(spooled.offer.body)
        if body is not None and body.in_range and body.sequence == fact.sequence:
            spooled.body = body
            return BodyReady(fact.site, fact.sequence, spooled.number)
        self._give_back(spooled)
        outside = body is not None and not body.in_range
        return BodyUnusable(fact.site, fact.sequence, "range" if outside else None, spooled.number)

    def _give_back(self, spooled: Spooled) -> None:
        self.used_bytes -= spooled.held_bytes
        spooled.held_bytes, spooled.body = 0, None
        self._fetch_more()


def _name(offer: OfferFact) -> Name:
    return offer.site, offer.sequence
