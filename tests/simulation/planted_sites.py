"""Mistakes that a site might make."""

from collections.abc import Callable
from typing import Any

from participant.core.events import AloneEnded, LogRead, Room, SendFailed
from participant.core.holds import Holds
from participant.core.loading import Loading
from participant.core.outbox import Entry, Outbox
from participant.core.stage import Fact, Fate
from participant.core.study import StudyCore as SiteCore
from participant.core.undecided import Settled
from participant.core.work import Work
from simulation.following import Follower
from simulation.outgoing import Outgoing
from simulation.records import Chosen, Strange
from simulation.store import Row, Store, settled
from tests.simulation.mistake import Patch, mistake


def a_sequence_not_persisted(patch: Patch) -> None:
    """The outbox row reaches the disk, the next sequence does not."""
    put = Store.put

    def forgetful(self: Store, sequence: int, row: Row) -> None:
        before = self._disk.sequence_next
        put(self, sequence, row)
        self._disk.sequence_next = before

    patch.setattr(Store, "put", forgetful)


def a_row_cleared_before_its_receipt(patch: Patch) -> None:
    """Offered is taken for decided."""
    acknowledged = Outgoing._acknowledged

    def hasty(self: Outgoing, sequence: int, offset: int) -> None:
        acknowledged(self, sequence, offset)
        settled(sequence, again=False, counted=False)(self._site.disk)

    patch.setattr(Outgoing, "_acknowledged", hasty)


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
                self._effects += self._undecided.settle(entry, Fact.DECIDED, Settled(Fate.ENDED))

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
    patch.setattr(
        "participant.core.undecided.LASTING", frozenset({"duplicate", "plan", "floor", "stranger", "revoked"})
    )


def a_log_judged_before_it_was_read_to_its_end(patch: Patch) -> None:
    """A site that has just started takes what it has not read yet for lost."""
    catch_up = Follower.catch_up

    def hasty(self: Follower) -> None:
        self._site.post(LogRead(-1))
        catch_up(self)

    patch.setattr(Follower, "catch_up", hasty)


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


AT_SITES = (
    mistake(a_sequence_not_persisted, "name-twice", "alarm", under=("die", "kill")),
    mistake(a_row_cleared_before_its_receipt, "lost"),
    mistake(an_again_that_the_site_does_not_hear, "lost", "no-progress", under=("bodies-gone",)),
    mistake(offered_updates_given_up_at_the_end, "untrue"),
    mistake(an_update_given_up_before_its_receipt_could_come, "untrue", under=("cut", "stall", "up-only")),
    mistake(an_offer_that_is_never_repeated, "no-progress", "lost", under=("offers-gone", "stall", "kill")),
    mistake(a_refused_base_never_trained_again, "no-progress", under=("roster",)),
    mistake(a_log_judged_before_it_was_read_to_its_end, "alarm", under=("die", "kill")),
    mistake(a_record_read_once_more_taken_for_the_end, "alarm", "no-progress", "lost", under=("strangers",)),
    mistake(a_load_that_failed_never_tried_again, "no-progress", under=("load",)),
    mistake(a_leave_that_does_not_look_into_the_outbox, "lost", under=("leave",)),
    mistake(room_in_the_outbox_not_seen_again, "no-progress", under=("room",)),
    mistake(a_send_that_was_refused_never_tried_again, "lost", "no-progress", under=("refused",)),
    mistake(a_baseline_whose_end_is_not_heard, "no-progress"),
)
