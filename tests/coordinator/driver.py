"""A federation without a broker: simulated sites and the topics between them and a coordinator."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from coordinator.core import events as seen
from coordinator.core.events import OfferFact
from coordinator.core.offers import BEHIND_MAX, NOWHERE
from coordinator.strategies.suspicion import hold_ms
from schemas.plan import Plan
from schemas.records import Action, Command
from tests.coordinator.log import Body, Ending, Name, model_digest
from tests.coordinator.shell import Shell


class Driver(Shell):
    """Plays the sites and the broker for one coordinator after the other."""

    def __init__(self, plan: Plan, sites: Iterable[str], *, obey_hold: bool = True, apart: bool = False) -> None:
        """`apart`: a Request is committed before what ends it."""
        self.obey_hold = obey_hold
        super().__init__(plan, sites, apart=apart)
        self._next_sequence = dict.fromkeys(self.sites, 0)

    # -- the sites

    def offer(self, site: str, *, base: int | None = None, body: Body = Body.GOOD, **other: Any) -> OfferFact:
        """Append an offer to the site's topic: honest and fresh, but for what `other` replaces."""
        offset = len(self.log.offers[site])
        sequence: int = other.pop("sequence", self._next_sequence[site])
        self._next_sequence[site] = max(self._next_sequence[site], sequence + 1)
        version = self.log.version if base is None else base
        honest = OfferFact(
            site=site,
            offset=offset,
            sequence=sequence,
            header=hashlib.sha256(f"{site}/{sequence}".encode()).digest(),
            base_version=version,
            base_digest=model_digest(version),
            plan=self.plan.digest,
            d=self.plan.d,
            size_bytes=self.plan.body_bytes,
            cohort_min=self.plan.aggregation.cohort_min,
            trustees=0,
        )
        fact = replace(honest, **other)
        self.log.offers[site].append((fact, body))
        return fact

    def offer_again(self, site: str, sequence: int, *, body: Body = Body.GOOD) -> OfferFact:
        """The site sends an update once more: a new Offer round the same header."""
        earlier = next(sent[0] for sent in self.log.offers[site] if sent and sent[0].sequence == sequence)
        fact = replace(earlier, offset=len(self.log.offers[site]))
        self.log.offers[site].append((fact, body))
        return fact

    def evaluate(self, site: str, value: float, *, weight: float = 1.0) -> None:
        """The site measured the newest version; the record stands on its topic, and is read at once."""
        digest = hashlib.sha256(f"{site} {self.log.version} {value}".encode()).digest()
        version = self.log.version
        self.log.offers[site].append(None)
        told = seen.Evaluated(site, version, model_digest(version), digest, float(value), float(weight))
        if site not in self.log.orders.excluded:
            self.evaluations[site] = told
        self.on(told)

    def presence(self, site: str) -> None:
        self.log.offers[site].append(None)

    def send(self, site: str, **other: Any) -> OfferFact:
        """Offer, read, and fetch whatever is to be fetched: the short way for examples."""
        fact = self.offer(site, **other)
        self.read_all(site)
        self.fetch_all()
        return fact

    # -- the broker

    def read(self, site: str) -> bool:
        """Deliver the site's next record; False when there is none, or the core asked not to."""
        if self.position[site] >= len(self.log.offers[site]) or (self.obey_hold and site in self.held):
            return False
        self.position[site] += 1
        self._deliver(site, self.position[site] - 1)
        return True

    def read_all(self, *sites: str) -> None:
        for site in sites or self.sites:
            while self.read(site):
                pass

    def redeliver(self, site: str, back: int) -> None:
        """Deliver a record that was delivered before."""
        if self.position[site] - 1 - back >= 0:
            self._deliver(site, self.position[site] - 1 - back)

    def _deliver(self, site: str, offset: int) -> None:
        sent = self.log.offers[site][offset]
        if sent is not None:
            self.on(sent[0])

    def fetch(self, index: int) -> None:
        """One of the fetches under way ends."""
        if self.fetching:
            name = sorted(self.fetching)[index % len(self.fetching)]
            fetch = self.fetching.pop(name)
            offer = fetch.offer
            body = self._sent(offer)
            if body is Body.GOOD:
                self.spooled.add(name)
                self.on(seen.BodyReady(*name, fetch.number))
            else:
                self.on(seen.BodyUnusable(*name, None if body is Body.GONE else "range", fetch.number))

    def _sent(self, offer: OfferFact) -> Body:
        """The body of an offer; one that was read from a cohort's body does not say where it lies."""
        topic = self.log.offers[offer.site]
        places = range(len(topic)) if offer.offset == NOWHERE else [offer.offset]
        return next(sent[1] for at in places if (sent := topic[at]) is not None and sent[0].header == offer.header)

    def fetch_all(self) -> None:
        while self.fetching:
            self.fetch(0)

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.on(seen.Tick())

    def change_members(self, members: Iterable[str]) -> None:
        """A new roster. Who left is not read any more; who comes (back) is read from its next offset."""
        joined = frozenset(members) - self.members
        self.members = frozenset(members)
        self.on(seen.SitesChanged(self.members))
        for site in joined:
            self.position[site] = self.log.first(site, self.core)

    def command(self, action: Action, *, site: str | None = None, version: int | None = None) -> None:
        """An operator's command stands on the log, and the core hears of it."""
        self.log.commands.append(Command(self.plan.study, len(self.log.commands), action, site, version, "as agreed"))
        if site is not None and action is Action.EXCLUDE:
            self.evaluations.pop(site, None)
        self.on(seen.Commanded(tuple(self.log.commands)))

    # -- the end of a play

    def settle(self) -> None:
        """Everybody is back and everything works: read, fetch, send again what is asked for, until nothing moves."""
        self.ending, self.die_after = Ending.COMMIT, None
        self.end_round()
        self.change_members(self.sites)
        self.command(Action.RESUME)
        for site in self.log.orders.excluded:
            self.command(Action.INCLUDE, site=site)
        for _ in range(200):
            before = (self.log.version, len(self.decides), dict(self.position), sum(map(len, self.log.offers.values())))
            self.read_all()
            self.fetch_all()
            self.flush()
            for site, sequence in self.decisions.asked_again():
                self.offer_again(site, sequence)
            self.wait(hold_ms(self.plan.aggregation.deadline_ms))
            sent = sum(map(len, self.log.offers.values()))
            if before == (self.log.version, len(self.decides), dict(self.position), sent):
                self.check_deterministic()
                return
        raise AssertionError("it never comes to rest")

    def undecided(self) -> dict[str, list[OfferFact]]:
        """Offers on the log that have no final answer, by site, in order; empty lists are left out."""
        found: dict[str, list[OfferFact]] = {}
        for site, topic in self.log.offers.items():
            highest = self.decisions.highest[site]
            for sent in topic[self.core.next_offset(site) :]:
                if sent and sent[0].sequence > highest:
                    found.setdefault(site, []).append(sent[0])
        return found

    def counted(self) -> Counter[Name]:
        return Counter((entry.site, entry.sequence) for close in self.log.closes for entry in close.entries)

    def remembered_max(self) -> int:
        """The most updates of one site that were delivered and wait: what the core has to hold in memory."""
        return max(
            len({sent[0].sequence for sent in topic[self.core.next_offset(site) : self.position[site]]
                 if sent and self.decisions.waits(sent[0])})
            for site, topic in self.log.offers.items()
        )  # fmt: skip


BOUND = BEHIND_MAX + 1  # those behind, and the undecided one
