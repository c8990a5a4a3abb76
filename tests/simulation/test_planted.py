"""The simulator is tested like any other instrument: with mistakes that are known to be there."""

import pytest

from simulation.histories import Play, draw
from simulation.plans import PLANS
from simulation.verdict import BREACHES, Broken
from tests.simulation.mistake import Mistake
from tests.simulation.planted import MISTAKES

HISTORIES_MAX = 400


def found(mistake: Mistake) -> Broken | None:
    """The first breach within the first histories."""
    for seed in range(HISTORIES_MAX):
        try:
            Play(draw(seed, PLANS, mistake.kinds), PLANS).run()
        except Broken as broken:
            return broken
    return None


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name)
def test_the_simulator_finds(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake.plant(monkeypatch)
    broken = found(mistake)
    assert broken is not None, "no history shows it"
    assert broken.breach in mistake.found_as, broken


def test_every_breach_has_a_sentence_of_its_own() -> None:
    assert len(set(BREACHES.values())) == len(BREACHES)
    assert {name for mistake in MISTAKES for name in mistake.found_as} <= BREACHES.keys()
