"""Mistakes about the log: transactions, what is hidden, keys, topics made anew, and who signed what."""

from collections.abc import Callable, Sequence

import pytest

from protocol.rounds import RoundsRecord
from schemas.records import Receipt
from simulation import leading
from simulation.epochs import COORDINATOR, Epochs
from simulation.log import Log, Producer, Transaction
from simulation.publish import Publisher
from simulation.reading import OffersReader
from simulation.records import Given
from simulation.rounds import Rounds
from simulation.transactions import Transactions
from tests.simulation.mistake import Patch, mistake


def a_leader_that_is_not_fenced(patch: Patch) -> None:
    """A zombie's transactions are accepted."""
    patch.setattr(Producer, "_check", lambda self, now_ms: None)


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


def a_copied_receipt_believed(patch: Patch) -> None:
    """Whatever a coordinator signed last under a site's name is the site's newest receipt, though it is a copy."""
    patch.setattr(Receipt, "is_older_than", lambda self, known: False)


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


ABOUT_THE_LOG = (
    mistake(a_leader_that_is_not_fenced, "two-models", "receipt", under=("lead", "freeze", "stall")),
    mistake(hidden_records_not_looked_for, "two-models", "new-cohort", "untrue", under=("markers", "kill", "die")),
    mistake(
        hidden_records_taken_back_without_a_look,
        "no-progress",
        "two-models",
        "lost",
        "untrue",
        under=("markers", "kill"),
    ),
    mistake(
        hidden_records_committed_without_a_look, "open-request", "counted-twice", "two-models", under=("markers", "die")
    ),
    mistake(
        the_next_transaction_begun_on_hidden_records, "no-progress", "lost", "two-models", under=("markers", "abort")
    ),
    mistake(
        a_copied_receipt_believed,
        "counted-twice",
        "lost",
        "no-progress",
        "decided-twice",
        "receipt",
        "two-models",
        under=("strangers", "kill"),
    ),
    mistake(a_topic_made_anew_not_noticed, "lost", "no-progress", under=("anew",)),
    mistake(a_bookmark_that_passes_who_is_not_known_yet, "position", "lost", under=("new-key", "kill")),
    mistake(a_command_that_holds_although_its_key_was_stolen, "no-progress", under=("stolen",)),
    mistake(keys_that_a_successor_does_not_read, "two-keys", under=("kill",)),
    mistake(an_announcement_before_its_keys, "no-key"),
    mistake(a_new_epoch_that_is_not_announced, "reads-on", "no-progress", under=("roster",)),
)
