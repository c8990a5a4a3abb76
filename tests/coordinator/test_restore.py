"""What a successor makes of the log: nothing is built on one that has lost a part of what others refer to."""

from collections import deque

import pytest

from coordinator.shell import restore
from coordinator.shell.condition import condition_of
from coordinator.shell.restore import Restored
from coordinator.strategies.suspicion import Suspicion
from protocol.commands import CommandLog
from protocol.rounds import RoundsView
from protocol.signing import SigningKey
from schemas.errors import PeerError
from schemas.records import Action, Command, Decided, Outcome, Receipt

STUDY = "lung"
COUNTED = Decided(4, Outcome.COUNTED, None, 3, 16)
EXCLUDED = Decided(3, Outcome.REFUSED, "excluded", None, 0)


def restored(*commanded: tuple[Action, str | None]) -> Restored:
    """Site a was refused as excluded once, and counted since."""
    commands = CommandLog(STUDY)
    for serial, (action, site) in enumerate(commanded, start=1):
        command = Command(STUDY, serial, action, site, None, "as agreed")
        commands.add(SigningKey.generate().sign(command).to_bytes())
    receipt = Receipt(STUDY, "a", 4, Outcome.COUNTED, None, 3, 16, 9, (EXCLUDED, COUNTED))
    view = RoundsView(STUDY, bytes(32))
    return Restored(view, {"a": receipt}, commands, Suspicion(), {}, False, deque())


@pytest.mark.parametrize("commanded", [(), ((Action.PAUSE, None),), ((Action.EXCLUDE, "b"), (Action.INCLUDE, "a"))])
def test_a_study_whose_exclusions_are_forgotten_stands_until_they_are_commanded_again(
    commanded: tuple[tuple[Action, str | None], ...],
) -> None:
    with pytest.raises(PeerError, match=r"commands has no such command any more.* a at least") as caught:
        restore._refuse_forgotten(restored(*commanded))
    assert condition_of(caught.value).name == "log-lost"


def test_an_exclusion_that_is_still_on_the_log_is_not_missed_whoever_commanded_it() -> None:
    restore._refuse_forgotten(restored((Action.EXCLUDE, "a"), (Action.INCLUDE, "a")))
