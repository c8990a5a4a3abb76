"""Who enters a round, who is added, and which of them make its cohort.

Knows:    the plan's goal, minimum and deadline, the floors that sites signed, who is under suspicion.
Never:    changes a cohort that was asked for.
Source:   FedBuff, arXiv 2106.06639, algorithm 1.
"""

from collections.abc import Iterable, Mapping

from coordinator.core.events import Effect
from coordinator.core.judge import Judge
from coordinator.core.offers import Offers
from coordinator.core.site import Phase, Undecided
from coordinator.strategies.gathering import Gathering, largest_within_floors, within_floors
from coordinator.strategies.suspicion import Suspicion, hold_ms
from schemas.plan import Plan
from schemas.records import RequestEntry


class Choosing:
    """Chooses among the offers of one study."""

    def __init__(self, plan: Plan, offers: Offers, judge: Judge) -> None:
        rule = plan.aggregation
        self._offers, self._judge = offers, judge
        self._gathering = Gathering(rule.goal, rule.minimum, rule.deadline_ms)
        self._hold_ms = hold_ms(rule.deadline_ms)

    def gather(self, suspicion: Suspicion, waited_ms: int) -> list[Effect]:
        """Fetch who may enter the round, add who is fetched, as long as there is room."""
        return [*self._enter(suspicion, waited_ms // self._hold_ms), *self._add(suspicion)]

    def choose(self, waited_ms: int, *, hurried: bool) -> tuple[list[Effect], tuple[RequestEntry, ...]]:
        """The cohort, when the round closes now, and what is put back for it; no entries when it does not close."""
        added = self._offers.in_phase(Phase.ADDED)
        if not self._gathering.closes(len(added), waited_ms, hurried=hurried):
            return [], ()
        chosen = within_floors({name: one.offer.cohort_min for name, one in added.items()})
        if len(chosen) < self._gathering.minimum:
            return [], ()
        back: list[Effect] = [self._offers.put_back(name) for name in sorted(added.keys() - chosen)]
        return back, tuple(_entry(added[name]) for name in sorted(chosen))

    def _enter(self, suspicion: Suspicion, waited: int) -> list[Effect]:
        waiting = self._offers.in_phase(Phase.WAITING)
        if not waiting:
            return []
        floors = self._offers.floors()
        size = largest_within_floors(floors)
        eligible = {name: item for name, item in waiting.items() if item.offer.cohort_min <= size}
        if suspicion.suspects:  # everybody enters, in a study without suspects
            least = max((floor for floor in floors if floor <= size), default=0)
            eligible = self._admitted(eligible, suspicion, max(self._gathering.minimum, least), waited)
        return [self._offers.enter(name) for name in sorted(eligible)]

    def _admitted(
        self, eligible: Mapping[str, Undecided], suspicion: Suspicion, minimum: int, waited: int
    ) -> dict[str, Undecided]:
        inside = [name for phase in Phase if phase is not Phase.WAITING for name in self._offers.in_phase(phase)]
        admitted = suspicion.admitted(_arrivals(eligible), inside, minimum=minimum, waited=waited)
        return {name: eligible[name] for name in admitted}

    def _add(self, suspicion: Suspicion) -> list[Effect]:
        ready = self._offers.in_phase(Phase.READY)
        room = max(0, self._gathering.goal - len(self._offers.in_phase(Phase.ADDED)))
        added: list[Effect] = []
        for name in sorted(suspicion.order(_arrivals(ready))[:room]):
            weight = self._judge.weight(ready[name].offer)
            assert weight is not None, "offers past the table's end were refused when the version rose"
            added.append(self._offers.add(name, weight))
        return added


def _entry(one: Undecided) -> RequestEntry:
    return RequestEntry(one.offer.site, one.offer.sequence, one.offer.header, one.weight)


def _arrivals(waiting: Mapping[str, Undecided]) -> Iterable[tuple[int, str]]:
    return ((item.arrival, name) for name, item in waiting.items())
