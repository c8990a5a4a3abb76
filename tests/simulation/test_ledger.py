"""Whatever a core may hear, and whatever it may want, is played by the histories; or it is said why not."""

import pytest

from tests.simulation.ledger import COORDINATOR, SITE, Line, lines, played

NOT_PLAYED = {
    Line(COORDINATOR, "death", "AskAgain"): "no plan names trustees, so nothing is asked for again",
    Line(SITE, "death", "Halt"): "an old copy is put into a folder whose service is down, and a new life has no doom",
}


@pytest.fixture(scope="module")
def found() -> set[Line]:
    return played(sorted(set(lines()) - NOT_PLAYED.keys()))


def test_every_event_effect_and_death_is_played_or_it_is_said_why_not(found: set[Line]) -> None:
    assert sorted(set(lines()) - found - NOT_PLAYED.keys()) == []


def test_what_is_said_not_to_be_played_is_not(found: set[Line]) -> None:
    assert sorted(NOT_PLAYED.keys() & found) == []


def test_nothing_is_excused_that_is_not_there() -> None:
    assert sorted(NOT_PLAYED.keys() - set(lines())) == []
