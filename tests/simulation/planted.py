"""Mistakes that somebody might make, each as a patch of behaviour: the simulator has to find every one.

Knows:    what each mistake breaks: the breaches as which it may be found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from coordinator.core import bookmark as coordinator_bookmark
from coordinator.core import choosing as coordinator_choosing
from coordinator.core import measured as coordinator_measured
from coordinator.core import site as coordinator_site
from coordinator.core import study as coordinator_study
from coordinator.core.allowance import Allowance
from coordinator.core.bookmark import Marked, bookmark_of
from coordinator.core.closing import Closing, OpenRequest
from coordinator.core.events import Effect, OfferFact
from coordinator.core.offers import Offers
from coordinator.strategies.gathering import Gathering
from protocol.judging import Judgement
from protocol.rounds import RoundsRecord
from schemas.plan import Plan
from schemas.records import Outcome, Receipt
from simulation import judged, leading
from simulation.coordinator import Coordinator, Found
from simulation.log import Log
from simulation.publish import Placed, Publisher, body_at
from simulation.records import Body, Model, State
from simulation.spool import Spool
from simulation.transactions import Transactions
from simulation.vectors import UnitSum
from tests.simulation.mistake import Mistake, Patch, mistake
from tests.simulation.planted_log import ABOUT_THE_LOG
from tests.simulation.planted_sites import AT_SITES


def weights_normalised_away(patch: Patch) -> None:
    """Every update goes into the sum with full weight, whatever the table says."""
    add = UnitSum.add
    patch.setattr(UnitSum, "add", lambda self, body, weight: add(self, body, 16 if weight > 0 else -16))


def weights_of_the_table_off_by_one(patch: Patch) -> None:
    """The table is read one place too early."""

    class OffByOne:
        def __init__(self, plan: Plan) -> None:
            self._plan = plan

        def __getattr__(self, name: str) -> Any:
            return getattr(self._plan, name)

        def weight(self, staleness: int) -> int | None:
            return self._plan.weight(max(0, staleness - 1))

    class Core(coordinator_study.StudyCore):
        def __init__(self, plan: Plan, **state: Any) -> None:
            super().__init__(OffByOne(plan), **state)  # type: ignore[arg-type]  # the mistake

    patch.setattr("simulation.coordinator.StudyCore", Core)


def a_successor_chooses_a_new_cohort(patch: Patch) -> None:
    """What a predecessor has asked for is not gone on with."""
    patch.setattr(Closing, "resume", lambda self, asked, version: None)


def a_successor_weighs_an_asked_cohort_anew(patch: Patch) -> None:
    """An update is weighed when it is added, not when it was asked for: one that was stale then counts in full."""
    resume = Closing.resume

    def anew(self: Closing, asked: OpenRequest, version: int) -> None:
        resume(self, replace(asked, entries=tuple(replace(one, weight=16) for one in asked.entries)), version)

    patch.setattr(Closing, "resume", anew)


def receipts_outside_the_transaction(patch: Patch) -> None:
    """The version first, the receipts in a transaction of their own."""
    commit = Publisher.commit

    def apart(
        self: Publisher, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Callable[[], None]
    ) -> None:
        if len(records) == 2:
            commit(self, records, [], lambda: commit(self, [], receipts, then))
        else:
            commit(self, records, receipts, then)

    patch.setattr(Publisher, "commit", apart)


def the_model_after_its_announcement(patch: Patch) -> None:
    """The offset is guessed, the body written once the announcement stands."""
    commit, late = Publisher.commit, list[Model]()

    def promised(self: Publisher, model: Model) -> Placed:
        late.append(model)
        return Placed(body_at(model.digest, 400, self._log.models.end))

    def then_the_model(
        self: Publisher, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Callable[[], None]
    ) -> None:
        def after() -> None:
            while late:
                self._log.models.append(late.pop())
            then()

        commit(self, records, receipts, after)

    patch.setattr(Publisher, "model", promised)
    patch.setattr(Publisher, "commit", then_the_model)


def a_resent_update_counted(patch: Patch) -> None:
    """Whatever is offered is taken for new."""

    def gullible(self: Offers, offer: OfferFact) -> list[Effect]:
        site = self.site(offer.site)
        return self._behind(site, offer) if site.undecided is not None else self._take_fresh(site, offer)

    patch.setattr(Offers, "take", gullible)


def memory_kept_across_a_failed_commit(patch: Patch) -> None:
    """A transaction is taken back, and the process goes on as if it had happened."""
    patch.setattr(Transactions, "aborted", lambda self, writing, then: then())


def a_share_check_that_can_never_be_met(patch: Patch) -> None:
    """No site may have more than a fifth of a cohort, in a study of four."""
    closes = Gathering.closes

    def picky(self: Gathering, ready: int, waited_ms: int, **how: bool) -> bool:
        return ready >= 5 and closes(self, ready, waited_ms, **how)

    patch.setattr(Gathering, "closes", picky)


def a_refusal_forgotten_after_a_restart(patch: Patch) -> None:
    """A successor remembers what was counted alone."""

    def forgetful(receipt: Receipt) -> coordinator_site.Site:
        counted = [past.sequence for past in receipt.recent if past.outcome == Outcome.COUNTED]
        return coordinator_site.Site(receipt.site, max(counted, default=-1), 0, receipt.recent)

    patch.setattr(coordinator_site.Site, "from_receipt", staticmethod(forgetful))


def a_body_added_again_when_it_is_chosen(patch: Patch) -> None:
    """An update is added when it is fetched, and once more when it is chosen."""
    add = UnitSum.add

    def twice(self: UnitSum, body: Body, weight: int) -> None:
        add(self, body, weight)
        if body.sequence % 2:
            add(self, body, weight)

    patch.setattr(UnitSum, "add", twice)


def an_update_left_out_of_the_sum(patch: Patch) -> None:
    """A stale body is dropped where its weight is small, and the Request names it all the same."""
    add = UnitSum.add

    def choosy(self: UnitSum, body: Body, weight: int) -> None:
        if weight >= 10:
            add(self, body, weight)

    patch.setattr(UnitSum, "add", choosy)


def a_spool_without_a_bound(patch: Patch) -> None:
    """Every body is fetched as soon as it is offered."""

    def eager(self: Spool) -> None:
        while self._waiting:
            spooled = self._offers.get(self._waiting.popleft())
            if spooled is not None:
                self._begin(spooled, self._run.plan.body_bytes)

    patch.setattr(Spool, "_fetch_more", eager)


def a_position_that_passes_what_waits(patch: Patch) -> None:
    """A receipt says that everything which lies on the topic is read."""
    receipt = coordinator_site.Site.receipt

    def hasty(self: coordinator_site.Site, study: str, offer: OfferFact, outcome: Outcome, **told: Any) -> Receipt:
        ahead = len(self.behind)
        made = receipt(self, study, offer, outcome, **told)
        return replace(made, next_offset=made.next_offset + ahead)

    patch.setattr(coordinator_site.Site, "receipt", hasty)


def a_word_of_one_taken_for_that_of_all(patch: Patch) -> None:
    """A version is as good as the mean that the sites tell, by the weights that they tell."""

    def plain(plan: Plan, heard: Mapping[str, tuple[float, float]]) -> Judgement:
        weight = sum(weight for _, weight in heard.values())
        return Judgement(sum(value * share for value, share in heard.values()) / weight) if weight else Judgement()

    for module in (coordinator_measured, coordinator_bookmark, judged):
        patch.setattr(module, "judge", plain)


def a_bookmark_that_passes_what_waits(patch: Patch) -> None:
    """A successor is told to read on behind offers that are not decided."""
    patch.setattr(Offers, "unread_from", lambda _self, _site, heard: heard)


def a_bookmark_that_passes_a_refusal_not_written_yet(patch: Patch) -> None:
    """The core has decided, the log does not know it."""
    patch.setattr(leading, "bookmark_of", lambda core, former, heard, _: bookmark_of(core, former, heard, ()))


def a_bookmark_without_the_evaluations_it_passes(patch: Patch) -> None:
    """A successor judges progress by what is left to read."""

    def bare(*told: Any) -> Marked:
        marked = bookmark_of(*told)
        return replace(marked, memory=replace(marked.memory, evaluations=()))

    patch.setattr(leading, "bookmark_of", bare)


def a_first_bookmark_that_looks_too_late(patch: Patch) -> None:
    """Where the topics end is asked when version 0 is announced, which another may have done long ago."""
    begin = Coordinator._begin

    def late(self: Coordinator, found: Found) -> None:
        begin(self, replace(found, ends=self._ends()))

    patch.setattr(Coordinator, "_begin", late)


def a_floor_that_nobody_looks_at(patch: Patch) -> None:
    """A cohort closes whatever its sites signed."""
    patch.setattr(coordinator_choosing, "within_floors", lambda floors: frozenset(floors))
    patch.setattr(coordinator_choosing, "largest_within_floors", lambda floors: sum(floors.values()) + 1_000)


def one_allowance_for_all_sites(patch: Patch) -> None:
    """Who floods makes everybody wait, for ever."""
    spend, left = Allowance.spend, Allowance._refilled
    patch.setattr(Allowance, "wait_ms", lambda self, site, now_ms: 10**9 * (left(self, "all", now_ms).left <= 0))
    patch.setattr(Allowance, "spend", lambda self, site, size, now_ms: spend(self, "all", size, now_ms))


def a_successor_with_a_fresh_optimiser(patch: Patch) -> None:
    """What the server step remembers is not read from the log."""
    patch.setattr(Log, "state", lambda self, body: State(0, (), b"fresh"))


MISTAKES: tuple[Mistake, ...] = (
    mistake(weights_normalised_away, "sum"),
    mistake(weights_of_the_table_off_by_one, "weight", "lost"),
    mistake(a_successor_chooses_a_new_cohort, "new-cohort", "open-request", under=("die", "kill")),
    mistake(a_successor_weighs_an_asked_cohort_anew, "sum", "other-model", under=("die", "kill")),
    mistake(receipts_outside_the_transaction, "receipt-apart"),
    mistake(the_model_after_its_announcement, "no-model"),
    mistake(a_resent_update_counted, "counted-twice", "decided-twice", "two-models", under=("twice", "repeat")),
    mistake(
        memory_kept_across_a_failed_commit,
        "no-progress",
        "two-models",
        "receipt",
        "lost",
        "position",
        "untrue",
        "no-key",
        under=("abort",),
    ),
    mistake(a_share_check_that_can_never_be_met, "no-progress"),
    mistake(
        a_refusal_forgotten_after_a_restart, "decided-twice", "position", "receipt", under=("kill", "repeat", "range")
    ),
    mistake(a_body_added_again_when_it_is_chosen, "counted-twice"),
    mistake(an_update_left_out_of_the_sum, "lost"),
    mistake(a_spool_without_a_bound, "memory"),
    mistake(a_position_that_passes_what_waits, "position", under=("flood",)),
    mistake(a_word_of_one_taken_for_that_of_all, "one-word", under=("hostile",)),
    mistake(a_bookmark_that_passes_what_waits, "lost", "no-progress", "position", under=("die", "kill")),
    mistake(
        a_bookmark_that_passes_a_refusal_not_written_yet,
        "lost",
        "no-progress",
        "position",
        under=("die", "kill", "range", "exclude"),
    ),
    mistake(a_bookmark_without_the_evaluations_it_passes, "patience", under=("die", "kill")),
    mistake(a_first_bookmark_that_looks_too_late, "position", "lost", under=("freeze",)),
    mistake(a_floor_that_nobody_looks_at, "floor"),
    mistake(one_allowance_for_all_sites, "no-progress", "lost", under=("flood",)),
    mistake(a_successor_with_a_fresh_optimiser, "other-model", under=("kill",)),
    *ABOUT_THE_LOG,
    *AT_SITES,
)
