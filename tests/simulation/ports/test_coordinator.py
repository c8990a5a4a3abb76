"""Production's own coordinator, killed at each word it has with the broker: another one goes on, and the books hold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from coordinator.core import study
from coordinator.core.closing import Closing, OpenRequest
from coordinator.shell import restore, standing
from coordinator.shell.bodies import Bodies
from coordinator.shell.publish import Publisher
from coordinator.shell.restore import Restored
from protocol.rounds import RoundsRecord
from schemas.records import Receipt
from simulation.ports.history import Lived, live
from simulation.verdict import Broken


@pytest.fixture(params=[False, True], ids=["one transaction", "request apart"])
def asks_apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a Request is committed before what ends it, as where a plan names trustees."""
    apart = bool(request.param)
    monkeypatch.setattr(study, "asks_apart", lambda plan: apart)
    return apart


@cache
def undisturbed(apart: bool) -> Lived:
    return live()


def deaths(apart: bool) -> Iterator[tuple[str, int]]:
    """Every step of a life in which nothing happens, and its index."""
    return ((name, at) for at, name in enumerate(undisturbed(apart).steps))


def test_a_coordinator_that_dies_at_any_word_is_succeeded_and_every_update_counts_once(asks_apart: bool) -> None:
    for name, at in deaths(asks_apart):
        try:
            lived = live(dies_at=at)
        except Exception as error:
            raise AssertionError(f"killed {name}") from error
        assert lived.died, name
        assert lived.books.final
        assert [one.version for _, one in lived.books.announced] == [1, 2, 3]


def test_every_word_that_changes_the_log_may_be_the_last_one(asks_apart: bool) -> None:
    names = {name for name, _ in deaths(asks_apart)}
    together = {f"{when} commit receipts and rounds" for when in ("before", "after")}
    alone = {f"{when} commit rounds" for when in ("before", "after")}
    assert together | alone <= names
    assert {"after send models", "after commit keys", "after send bookmark"} <= names
    asked = [name for name, _ in deaths(asks_apart) if name == "after commit rounds"]
    assert len(asked) == (4 if asks_apart else 1), "version 0, and each of three Requests where they are apart"


def test_two_lives_with_the_same_death_take_the_same_steps(asks_apart: bool) -> None:
    last = len(undisturbed(asks_apart).steps) - 1
    assert live(dies_at=last).steps == undisturbed(asks_apart).steps


# -- mistakes, made in what hospitals run

Plant = Callable[[pytest.MonkeyPatch], None]


def a_successor_chooses_a_new_cohort(patch: pytest.MonkeyPatch) -> None:
    """What a predecessor has asked for is not gone on with."""
    patch.setattr(Closing, "resume", lambda self, asked, version: None)


def a_successor_weighs_an_asked_cohort_anew(patch: pytest.MonkeyPatch) -> None:
    """An update is added with another weight than was asked for."""
    resume = Closing.resume

    def anew(self: Closing, asked: OpenRequest, version: int) -> None:
        resume(self, replace(asked, entries=tuple(replace(one, weight=15) for one in asked.entries)), version)

    patch.setattr(Closing, "resume", anew)


def receipts_in_a_transaction_of_their_own(patch: pytest.MonkeyPatch) -> None:
    """The version first, then who is in it."""
    commit = Publisher.commit

    async def apart(self: Publisher, records: list[RoundsRecord], receipts: list[Receipt]) -> None:
        await commit(self, records, [])
        if receipts:
            await commit(self, [], receipts)

    patch.setattr(Publisher, "commit", apart)


def a_sum_that_outlives_its_round(patch: pytest.MonkeyPatch) -> None:
    """The next cohort is added to the one before."""
    patch.setattr(Bodies, "forget", lambda self, cohort: None)


def a_successor_that_reads_no_receipts(patch: pytest.MonkeyPatch) -> None:
    """What was decided is decided again."""
    read = restore.read_study

    async def forgetful(*given: Any) -> Restored:
        return replace(await read(*given), receipts={})

    patch.setattr(standing, "read_study", forgetful)


MISTAKES: Sequence[tuple[Plant, bool, str]] = (  # plant, whether a Request is apart, found as
    (a_successor_chooses_a_new_cohort, True, "new-cohort"),
    (a_successor_weighs_an_asked_cohort_anew, True, "other-model"),
    (receipts_in_a_transaction_of_their_own, False, "receipt-apart"),
    (a_sum_that_outlives_its_round, False, "other-model"),
    (a_successor_that_reads_no_receipts, False, "two-models"),
)


def found(apart: bool) -> Broken | None:
    """The first breach in any life."""
    for _, at in deaths(apart):
        try:
            live(dies_at=at)
        except Broken as broken:
            return broken
    return None


@pytest.mark.parametrize(("plant", "apart", "breach"), MISTAKES, ids=[one[0].__name__ for one in MISTAKES])
def test_the_simulator_finds_in_productions_own_shell(
    plant: Plant, apart: bool, breach: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "asks_apart", lambda plan: apart)
    undisturbed(apart)
    plant(monkeypatch)
    broken = found(apart)
    assert broken is not None, "no life shows it"
    assert broken.breach == breach, broken
