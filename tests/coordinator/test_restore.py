"""What a successor makes of the log: nothing is built on one that has lost a part of what others refer to."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from coordinator.core.replay import Replay
from coordinator.shell import restore
from coordinator.shell.condition import condition_of
from coordinator.shell.restore import Restored
from coordinator.shell.services import Services
from protocol.commands import CommandLog
from protocol.signing import SigningKey
from schemas.errors import PeerError
from schemas.records import Action, Command, Decided, Outcome, Receipt
from tests.coordinator.plans import plan_of

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
    return Restored(Replay.of(replace(plan_of(), study=STUDY)), {"a": receipt}, commands, {})


@pytest.mark.parametrize("commanded", [(), ((Action.PAUSE, None),), ((Action.EXCLUDE, "b"), (Action.INCLUDE, "a"))])
def test_a_study_whose_exclusions_are_forgotten_stands_until_they_are_commanded_again(
    commanded: tuple[tuple[Action, str | None], ...],
) -> None:
    with pytest.raises(PeerError, match=r"commands has no such command any more.* a at least") as caught:
        restore._refuse_forgotten(restored(*commanded))
    assert condition_of(caught.value).name == "log-lost"


@pytest.mark.parametrize("setting", ["producer", "gzip"])
async def test_batches_that_the_broker_itself_compresses_may_be_the_coordinators(setting: str) -> None:
    async def describe(_topic: str) -> dict[str, str]:
        return {"compression.type": setting}

    services = cast(Services, SimpleNamespace(admin=SimpleNamespace(describe=describe)))
    if setting == "producer":
        await restore._refuse_recompressed(services, {"rounds"})
        return
    with pytest.raises(PeerError, match=r"compression\.type gzip") as caught:
        await restore._refuse_recompressed(services, {"rounds"})
    assert condition_of(caught.value).name == "log-unreadable"


def test_a_receipt_never_takes_back_what_was_decided_for_good() -> None:
    newer = Receipt(STUDY, "a", 4, Outcome.COUNTED, None, 3, 16, 9, (COUNTED,))
    asked = Receipt(STUDY, "a", 5, Outcome.AGAIN, "malformed", None, 0, 10, (COUNTED,))
    older = Receipt(STUDY, "a", 3, Outcome.REFUSED, "excluded", None, 0, 7, (EXCLUDED,))
    assert older.is_older_than(newer)
    assert older.is_older_than(asked)
    assert not asked.is_older_than(newer)
    assert not newer.is_older_than(newer)
    assert not older.is_older_than(None)


def test_an_exclusion_that_is_still_on_the_log_is_not_missed_whoever_commanded_it() -> None:
    restore._refuse_forgotten(restored((Action.EXCLUDE, "a"), (Action.INCLUDE, "a")))
