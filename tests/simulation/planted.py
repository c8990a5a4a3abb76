"""Mistakes that somebody might make, each as a patch of behaviour: the simulator has to find every one.

Knows:    what each mistake breaks: the breaches as which it may be found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from coordinator.core import bookmark as coordinator_bookmark
from coordinator.core import site as coordinator_site
from coordinator.core import study as coordinator_study
from coordinator.core.allowance import Allowance
from coordinator.core.bookmark import Marked, bookmark_of
from coordinator.core.events import Effect, OfferFact
from coordinator.core.offers import Offers
from coordinator.strategies.gathering import Gathering
from participant.core.events import AloneEnded, LogRead, Room, SendFailed
from participant.core.holds import Holds
from participant.core.loading import Loading
from participant.core.outbox import Entry, Outbox
from participant.core.study import StudyCore as SiteCore
from participant.core.work import Work
from protocol.judging import Judgement
from protocol.rounds import RoundsRecord
from schemas.plan import Plan
from schemas.records import Outcome, Receipt
from simulation import judged, leading
from simulation.coordinator import Coordinator, Found
from simulation.epochs import COORDINATOR, Epochs
from simulation.following import Follower
from simulation.log import Log, Producer, Transaction
from simulation.outgoing import Outgoing
from simulation.publish import Placed, Publisher, body_at
from simulation.reading import OffersReader
from simulation.records import Body, Chosen, Given, Model, State, Strange
from simulation.rounds import Rounds
from simulation.spool import Spool
from simulation.store import Row, Store, settled
from simulation.transactions import Transactions
from simulation.vectors import UnitSum

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Mistake:
    """`name` says what somebody got wrong; `found_as` are the breaches that may name it."""

    name: str
    found_as: frozenset[str]
    plant: Callable[[Patch], None]
    kinds: tuple[str, ...]  # of faults under which it shows soon; empty: all


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
    """Request and Announcement in two transactions, and a successor that does not finish what it finds open."""
    commit = Publisher.commit

    def in_two(
        self: Publisher, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Callable[[], None]
    ) -> None:
        if len(records) == 2:
            commit(self, records[:1], [], lambda: commit(self, records[1:], receipts, then))
        else:
            commit(self, records, receipts, then)

    patch.setattr(Publisher, "commit", in_two)
    patch.setattr(Coordinator, "open_request", lambda self: None)


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


def a_sequence_not_persisted(patch: Patch) -> None:
    """The outbox row reaches the disk, the next sequence does not."""
    put = Store.put

    def forgetful(self: Store, sequence: int, row: Row) -> None:
        before = self._disk.sequence_next
        put(self, sequence, row)
        self._disk.sequence_next = before

    patch.setattr(Store, "put", forgetful)


def a_resent_update_counted(patch: Patch) -> None:
    """Whatever is offered is taken for new."""

    def gullible(self: Offers, offer: OfferFact) -> list[Effect]:
        site = self.site(offer.site)
        return self._behind(site, offer) if site.undecided is not None else self._judge(site, offer)

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


def a_row_cleared_before_its_receipt(patch: Patch) -> None:
    """Offered is taken for decided."""
    acknowledged = Outgoing._acknowledged

    def hasty(self: Outgoing, sequence: int, offset: int) -> None:
        acknowledged(self, sequence, offset)
        settled(sequence, again=False, counted=False)(self._site.disk)

    patch.setattr(Outgoing, "_acknowledged", hasty)


def a_leader_that_is_not_fenced(patch: Patch) -> None:
    """A zombie's transactions are accepted."""
    patch.setattr(Producer, "_check", lambda self, now_ms: None)


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

    for module in (coordinator_study, coordinator_bookmark, judged):
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
    patch.setattr(coordinator_study, "within_floors", lambda floors: frozenset(floors))
    patch.setattr(coordinator_study, "largest_within_floors", lambda floors: sum(floors.values()) + 1_000)


def an_again_that_the_site_does_not_hear(patch: Patch) -> None:
    """A body that has gone is never sent anew."""
    patch.setattr(Outbox, "ask_again", lambda self, entry, now_ms: None)
    patch.setattr(Outbox, "remind", lambda self, newest, now_ms: None)


def offered_updates_given_up_at_the_end(patch: Patch) -> None:
    """The last version is taken for the last word, before the receipts that came with it."""
    announced = SiteCore._on_announced

    def hasty(self: SiteCore, event: Any) -> None:
        announced(self, event)
        if event.final:
            for entry in list(self.outbox):
                self._settle(entry, "ended")

    patch.setattr(SiteCore, "_on_announced", hasty)


def an_update_given_up_before_its_receipt_could_come(patch: Patch) -> None:
    """What is not acknowledged and past the table is taken for never offered."""

    def hasty(self: Outbox, late: Callable[[int], bool], now_ms: int) -> list[Entry]:
        return [one for one in self.unsent() if not (one.anew or one.reminding) and late(one.base_version)]

    patch.setattr(Outbox, "given_up", hasty)


def an_offer_that_is_never_repeated(patch: Patch) -> None:
    """Retention takes an offer before anybody has read it, and its site waits for ever."""
    patch.setattr(Outbox, "remind", lambda self, newest, now_ms: None)


def a_refused_base_never_trained_again(patch: Patch) -> None:
    """A site that the roster left out for a moment waits for a version that needs it."""
    patch.setattr("participant.core.study.LASTING", frozenset({"duplicate", "plan", "floor", "stranger", "revoked"}))


def hidden_records_not_looked_for(patch: Patch) -> None:
    """A successor takes what it can read for all there is."""
    patch.setattr(Transactions, "settle", lambda self, then: then())


def hidden_records_taken_back_without_a_look(patch: Patch) -> None:
    """What nobody can read is taken for never committed."""
    patch.setattr(Transaction, "whole", property(lambda self: False))


def hidden_records_committed_without_a_look(patch: Patch) -> None:
    """What nobody can read is taken for committed, all of it or a part."""
    patch.setattr(Transaction, "whole", property(lambda self: True))


def the_next_transaction_begun_on_hidden_records(patch: Patch) -> None:
    """Nobody looks whether readers got the last one, and the next is taken back."""
    commit = Publisher.commit

    def hasty(
        self: Publisher, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], then: Callable[[], None]
    ) -> None:
        with pytest.MonkeyPatch.context() as blind:
            blind.setattr(Log, "hidden", [])
            commit(self, records, receipts, then)

    patch.setattr(Publisher, "commit", hasty)


def a_log_judged_before_it_was_read_to_its_end(patch: Patch) -> None:
    """A site that has just started takes what it has not read yet for lost."""
    catch_up = Follower.catch_up

    def hasty(self: Follower) -> None:
        self._site.post(LogRead(-1))
        catch_up(self)

    patch.setattr(Follower, "catch_up", hasty)


def a_copied_receipt_believed(patch: Patch) -> None:
    """Whatever a coordinator signed last under a site's name is the site's newest receipt, though it is a copy."""
    patch.setattr(Receipt, "is_older_than", lambda self, known: False)


def a_record_read_once_more_taken_for_the_end(patch: Patch) -> None:
    """A site takes the index of the record it read last for how far the log goes, though it is a copy."""
    take = Follower._take_rounds

    def hasty(self: Follower) -> None:
        before = self._position
        take(self)
        read = [one.value for one in self._log.rounds.read(before)[0] if one.offset < self._position]
        known = [one.record if isinstance(one, Chosen) else one for one in read if not isinstance(one, Strange)]
        if known and known[-1] is not None:
            self._record = known[-1].index

    patch.setattr(Follower, "_take_rounds", hasty)


def one_allowance_for_all_sites(patch: Patch) -> None:
    """Who floods makes everybody wait, for ever."""
    spend, left = Allowance.spend, Allowance._refilled
    patch.setattr(Allowance, "wait_ms", lambda self, site, now_ms: 10**9 * (left(self, "all", now_ms).left <= 0))
    patch.setattr(Allowance, "spend", lambda self, site, size, now_ms: spend(self, "all", size, now_ms))


def a_topic_made_anew_not_noticed(patch: Patch) -> None:
    """It is read on from where the old one ended."""
    patch.setattr(OffersReader, "_made_anew", lambda self, site: None)


def a_bookmark_that_passes_who_is_not_known_yet(patch: Patch) -> None:
    """What was signed under a key that the roster lacks is taken for a stranger's."""
    patch.setattr(OffersReader, "_heard", lambda self: dict(self._positions))


def a_command_that_holds_although_its_key_was_stolen(patch: Patch) -> None:
    """Commands are judged when they come, and not again when the roster changes."""
    patch.setattr(leading, "holding", lambda said, roster: tuple(one.command for one in said))


def keys_that_a_successor_does_not_read(patch: Patch) -> None:
    """Each leader makes a key of its own for the first epoch."""
    patch.setattr(Publisher, "read_keys", lambda self: setattr(self, "epochs", Epochs((), self._node.name)))


def an_announcement_before_its_keys(patch: Patch) -> None:
    """Members get the key of an epoch a moment after the version that needs it."""
    ensure_keys = Publisher.ensure_keys

    def later(self: Publisher, then: Callable[[], None]) -> None:
        if self.epochs.current >= 0:
            ensure_keys(self, then)
            return
        self.epochs.note([Given(0, COORDINATOR, bytes(32))])
        then()

    patch.setattr(Publisher, "ensure_keys", later)


def a_new_epoch_that_is_not_announced(patch: Patch) -> None:
    """Keys are given, and whoever has left reads on until there is another version."""
    patch.setattr(Rounds, "_announce_under", lambda self, then: self._run.resume(then()))


def a_successor_with_a_fresh_optimiser(patch: Patch) -> None:
    """What the server step remembers is not read from the log."""
    patch.setattr(Log, "state", lambda self, body: State(0, (), b"fresh"))


def a_load_that_failed_never_tried_again(patch: Patch) -> None:
    """Task and data are looked for once."""
    wait_ms = Loading.wait_ms

    def once(self: Loading, now_ms: int) -> int | None:
        return None if self.failures else wait_ms(self, now_ms)

    patch.setattr(Loading, "wait_ms", once)


def a_leave_that_does_not_look_into_the_outbox(patch: Patch) -> None:
    """A site goes as soon as its trainer rests."""

    def hasty(self: SiteCore) -> bool:
        return self._holds.leaving and not self._work.at_work

    patch.setattr(SiteCore, "left", property(hasty))


def room_in_the_outbox_not_seen_again(patch: Patch) -> None:
    """Other studies have filled it once."""
    on = Holds.on

    def blind(self: Holds, event: Any) -> bool:
        return on(self, event) if event != Room(True) else False

    patch.setattr(Holds, "on", blind)


def a_send_that_was_refused_never_tried_again(patch: Patch) -> None:
    """What failed to be sent counts as being sent."""
    on_send = Outbox.on_send

    def deaf(self: Outbox, event: Any, now_ms: int) -> None:
        if not isinstance(event, SendFailed):
            on_send(self, event, now_ms)

    patch.setattr(Outbox, "on_send", deaf)


def a_baseline_whose_end_is_not_heard(patch: Patch) -> None:
    """The last version waits for it before it is measured."""
    worked = Work.worked

    def deaf(self: Work, event: Any, now_ms: int) -> list[Any]:
        return [] if isinstance(event, AloneEnded) else worked(self, event, now_ms)

    patch.setattr(Work, "worked", deaf)


def _mistake(plant: Callable[[Patch], None], *found_as: str, under: tuple[str, ...] = ()) -> Mistake:
    return Mistake(plant.__name__, frozenset(found_as), plant, under)


MISTAKES = (
    _mistake(weights_normalised_away, "sum"),
    _mistake(weights_of_the_table_off_by_one, "weight", "lost"),
    _mistake(a_successor_chooses_a_new_cohort, "new-cohort", under=("die", "kill")),
    _mistake(receipts_outside_the_transaction, "receipt-apart"),
    _mistake(the_model_after_its_announcement, "no-model"),
    _mistake(a_sequence_not_persisted, "name-twice", "alarm", under=("die", "kill")),
    _mistake(a_resent_update_counted, "counted-twice", "decided-twice", "two-models", under=("twice", "repeat")),
    _mistake(
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
    _mistake(a_share_check_that_can_never_be_met, "no-progress"),
    _mistake(
        a_refusal_forgotten_after_a_restart, "decided-twice", "position", "receipt", under=("kill", "repeat", "range")
    ),
    _mistake(a_row_cleared_before_its_receipt, "lost"),
    _mistake(a_leader_that_is_not_fenced, "two-models", "receipt", under=("lead", "freeze", "stall")),
    _mistake(a_body_added_again_when_it_is_chosen, "counted-twice"),
    _mistake(an_update_left_out_of_the_sum, "lost"),
    _mistake(a_spool_without_a_bound, "memory"),
    _mistake(a_position_that_passes_what_waits, "position", under=("flood",)),
    _mistake(a_bookmark_that_passes_what_waits, "lost", "no-progress", "position", under=("die", "kill")),
    _mistake(
        a_bookmark_that_passes_a_refusal_not_written_yet,
        "lost",
        "no-progress",
        "position",
        under=("die", "kill", "range", "exclude"),
    ),
    _mistake(a_word_of_one_taken_for_that_of_all, "one-word", under=("hostile",)),
    _mistake(a_bookmark_without_the_evaluations_it_passes, "patience", under=("die", "kill")),
    _mistake(a_first_bookmark_that_looks_too_late, "position", "lost", under=("freeze",)),
    _mistake(a_floor_that_nobody_looks_at, "floor"),
    _mistake(an_again_that_the_site_does_not_hear, "lost", "no-progress", under=("bodies-gone",)),
    _mistake(offered_updates_given_up_at_the_end, "untrue"),
    _mistake(an_update_given_up_before_its_receipt_could_come, "untrue", under=("cut", "stall", "up-only")),
    _mistake(an_offer_that_is_never_repeated, "no-progress", "lost", under=("offers-gone", "stall", "kill")),
    _mistake(a_refused_base_never_trained_again, "no-progress", under=("roster",)),
    _mistake(hidden_records_not_looked_for, "two-models", "new-cohort", "untrue", under=("markers", "kill", "die")),
    _mistake(
        hidden_records_taken_back_without_a_look,
        "no-progress",
        "two-models",
        "lost",
        "untrue",
        under=("markers", "kill"),
    ),
    _mistake(
        hidden_records_committed_without_a_look, "open-request", "counted-twice", "two-models", under=("markers", "die")
    ),
    _mistake(
        the_next_transaction_begun_on_hidden_records, "no-progress", "lost", "two-models", under=("markers", "abort")
    ),
    _mistake(
        a_copied_receipt_believed,
        "counted-twice",
        "lost",
        "no-progress",
        "decided-twice",
        "receipt",
        "two-models",
        under=("strangers", "kill"),
    ),
    _mistake(a_record_read_once_more_taken_for_the_end, "alarm", "no-progress", "lost", under=("strangers",)),
    _mistake(a_topic_made_anew_not_noticed, "lost", "no-progress", under=("anew",)),
    _mistake(a_bookmark_that_passes_who_is_not_known_yet, "position", "lost", under=("new-key", "kill")),
    _mistake(a_command_that_holds_although_its_key_was_stolen, "no-progress", under=("stolen",)),
    _mistake(keys_that_a_successor_does_not_read, "two-keys", under=("kill",)),
    _mistake(an_announcement_before_its_keys, "no-key"),
    _mistake(a_new_epoch_that_is_not_announced, "reads-on", "no-progress", under=("roster",)),
    _mistake(a_successor_with_a_fresh_optimiser, "other-model", under=("kill",)),
    _mistake(a_load_that_failed_never_tried_again, "no-progress", under=("load",)),
    _mistake(a_leave_that_does_not_look_into_the_outbox, "lost", under=("leave",)),
    _mistake(room_in_the_outbox_not_seen_again, "no-progress", under=("room",)),
    _mistake(a_send_that_was_refused_never_tried_again, "lost", "no-progress", under=("refused",)),
    _mistake(a_baseline_whose_end_is_not_heard, "no-progress"),
    _mistake(one_allowance_for_all_sites, "no-progress", "lost", under=("flood",)),
    _mistake(a_log_judged_before_it_was_read_to_its_end, "alarm", under=("die", "kill")),
)
