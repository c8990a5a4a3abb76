"""What receipts may say: the truth about every update, once, and a position that passes nothing undecided."""

from collections.abc import Mapping, Sequence

from coordinator.core.bookmark import Marked
from coordinator.core.offers import ASK_AGAIN_MAX
from schemas.records import Announcement, Decided, Outcome, Receipt, Request
from simulation.records import Name, SentOffer
from simulation.verdict import Broken
from simulation.world import World


class ReceiptChecks:
    """Every receipt so far, and what it decided."""

    def __init__(self, world: World) -> None:
        self._world, self._plan = world, world.scene.plan
        self._decided: dict[Name, tuple[int, int | None]] = {}  # outcome and version, for good
        self._final: dict[str, int] = {}  # the highest sequence that is decided for good, by site
        self._positions: dict[str, int] = {}
        self._asked: dict[Name, int] = {}  # how often a body was asked for anew
        self._given_up: set[Name] = set()  # by their site, before the log decided
        self.sealed: set[Name] = set()
        self.asked: set[Name] = set()  # by the open Request, whose body holds the offers
        self._marked: dict[str, int] = {}  # up to where bookmarks were checked
        self._begun: dict[str, int] | None = None  # where topics ended when version 0 came: no honest offer lies before

    def committed(self, receipts: Sequence[Receipt], request: Request | None, announced: Announcement | None) -> None:
        """A transaction with these receipts and this Announcement, and the newest Request."""
        if self._begun is None:
            self._begun = {site: topic.end for site, topic in self._world.log.offers.items()}
        counted = {receipt.site: receipt for receipt in receipts if receipt.outcome == Outcome.COUNTED}
        named = {entry.site: entry for entry in request.entries} if request is not None else {}
        if announced is not None and announced.request is not None:
            for site, entry in named.items():
                receipt = counted.get(site)
                if receipt is None or receipt.sequence != entry.sequence:
                    raise Broken("receipt-apart", f"{site} is in version {announced.version} and has no receipt of it")
        for site, receipt in counted.items():
            one = named.get(site) if announced is not None and announced.request is not None else None
            told = (receipt.sequence, receipt.weight, receipt.version)
            if one is None or announced is None or told != (one.sequence, one.weight, announced.version):
                raise Broken("receipt", f"{site} is told {told} of its update, no Request says so")
        for receipt in receipts:
            self._check(receipt)

    def bookmarked(self, bookmark: Marked) -> None:
        """A bookmark passes nothing that is undecided on the log."""
        for site, position in bookmark.positions:
            self._check_passed(site, self._marked.get(site, 0), position)
            self._marked[site] = max(position, self._marked.get(site, 0))

    def settled(self, name: Name, outcome: str) -> None:
        """A site takes an update out of its outbox for this reason."""
        answer = self._decided.get(name)
        told = Outcome(answer[0]).name.lower() if answer is not None else None
        if outcome in ("counted", "refused", "void") and outcome != told:
            raise Broken("untrue", f"{name} is {outcome} for its site, on the log it is {told}")
        if told == "counted" and outcome != "counted":
            raise Broken("untrue", f"{name} counts, its site believes it is {outcome}")
        if answer is None:
            self._given_up.add(name)
        if outcome == "overtaken" and self._final.get(name[0], -1) <= name[1]:
            raise Broken("lost", f"{name} is overtaken by nothing")

    def at_rest(self, offers: Mapping[Name, SentOffer]) -> None:
        """Every offer that was signed by its site has got an answer, or a later one has.

        But for what was asked for again from a site that had it no more: its folder was put back to an old copy.
        """
        for (site, sequence), offer in offers.items():
            gone = offer.fact.offset < max(self._world.log.offers[site].start, self._first(site))
            held = (site, sequence) in self.sealed and not self._world.sites[site].copied
            excused = gone or (not held and (site, sequence) in self._asked)
            if sequence > self._final.get(site, -1) and not excused:
                raise Broken("lost", f"{site}/{sequence} was offered and never decided")

    # -- one receipt

    def _check(self, receipt: Receipt) -> None:
        name = receipt.site, receipt.sequence
        if name not in self._decided:
            self._check_outbox(name)
        for past in receipt.recent[:-1]:
            self._remembered(receipt, past)
        if receipt.outcome == Outcome.AGAIN:
            self._asked[name] = self._asked.get(name, 0) + 1
        else:
            self._decide(name, receipt)
        self._check_position(receipt)

    def _check_outbox(self, name: Name) -> None:
        """A site cannot know of this receipt yet: it must still hold the update, on its disk."""
        site = self._world.sites.get(name[0])
        honest = site is not None and not site.copied and name in self.sealed
        if site is not None and honest and name not in self._given_up and name[1] not in site.disk.rows:
            raise Broken("lost", f"{name} has left its site's outbox before it was decided")

    def _decide(self, name: Name, receipt: Receipt) -> None:
        if name in self._decided or receipt.sequence <= self._final.get(receipt.site, -1):
            before = self._decided.get(name)
            counted = Outcome.COUNTED in (receipt.outcome, before[0] if before else None)
            raise Broken("counted-twice" if counted else "decided-twice", f"{name} was decided before")
        if receipt.outcome == Outcome.REFUSED:
            self._check_reason(name, receipt.code)
        self._decided[name] = receipt.outcome, receipt.version
        self._final[receipt.site] = receipt.sequence

    def _remembered(self, receipt: Receipt, past: Decided) -> None:
        """What a receipt remembers is what was said; refusals that came at once are said together, in the last one."""
        name = receipt.site, past.sequence
        before = self._decided.get(name)
        if past.outcome == Outcome.AGAIN:
            self._asked.setdefault(name, 1)
        elif before is None:
            if past.outcome == Outcome.COUNTED:
                raise Broken("receipt", f"{name} is remembered as counted, no Request said so")
            self._decided[name] = past.outcome, past.version
            self._final[receipt.site] = max(self._final.get(receipt.site, -1), past.sequence)
        elif before != (past.outcome, past.version):
            raise Broken("receipt", f"{name} is remembered as {past.outcome}, it was {before[0]}")

    def _check_position(self, receipt: Receipt) -> None:
        site, start = receipt.site, self._positions.get(receipt.site, 0)
        if receipt.next_offset < start and not self._world.log.offers[site].renewed:
            raise Broken("position", f"{site}: from {start} back to {receipt.next_offset}")
        self._check_passed(site, start, receipt.next_offset)
        self._positions[site] = receipt.next_offset

    def _check_passed(self, site: str, start: int, end: int) -> None:
        """Whoever reads on from `end` misses nothing that lies behind `start`, and behind the study's beginning."""
        topic = self._world.log.offers[site]
        if topic.renewed:  # offsets of the topic before mean nothing any more
            return
        for offset in range(max(start, self._first(site)), end):
            offer = topic.get(offset)
            if not isinstance(offer, SentOffer) or not (offer.intact and offer.signer == site == offer.fact.site):
                continue
            name = site, offer.fact.sequence
            if offer.fact.sequence > self._final.get(site, -1) and name not in {*self._asked, *self.asked}:
                raise Broken("position", f"{site}: {end} passes {offer.fact.sequence}, undecided")

    def _first(self, site: str) -> int:
        topic = self._world.log.offers[site]
        return topic.end if self._begun is None else self._begun.get(site, 0)

    def _check_reason(self, name: Name, code: str | None) -> None:
        """The code fits the facts."""
        world, plan = self._world, self._plan
        offers = [
            entry.value
            for entry in world.log.offers[name[0]].read(0)[0]
            if isinstance(entry.value, SentOffer) and entry.value.fact.sequence == name[1]
        ]
        if code is None or not offers:  # gone by retention meanwhile: nobody can tell any more
            return
        facts, bodies = [offer.fact for offer in offers], world.log.bodies[name[0]]
        found = [bodies.get(offer.body) for offer in offers]
        holds = {
            "stale": any(world.version - one.base_version > plan.aggregation.staleness_max for one in facts),
            "final": world.final,
            "stranger": name[0] in world.was_away,
            "revoked": name[0] in world.was_away,
            "excluded": name[0] in world.was_excluded,
            "plan": any(one.plan != world.scene.plan_digest for one in facts),
            "floor": any(not plan.aggregation.cohort_min <= one.cohort_min <= plan.aggregation.goal for one in facts),
            "range": any(body is None or not body.in_range for body in found),
            "malformed": self._asked.get(name, 0) >= ASK_AGAIN_MAX
            or any(
                one.code is not None
                or (one.d, one.size_bytes) != (plan.d, plan.body_bytes)
                or one.base_version > world.version
                or one.base_digest != world.scene.digest_of(one.base_version)
                for one in facts
            ),
        }
        if not holds.get(code, False):
            raise Broken("lost", f"{name} is refused as {code}, which is not true")
