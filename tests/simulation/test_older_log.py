"""Sites that know more than their log: the broker lost its disk, and the same plan was published again."""

from participant.core.effects import State
from simulation.observe import Observer
from simulation.plans import plan_of
from simulation.process import KILLED
from simulation.world import World
from tests.simulation.sites import sites_of

MINUTE_MS = 60_000


class Words(Observer):
    """What sites say that must not be."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def on_broken(self, breach: str, sentence: str, now_ms: int) -> None:
        self.said.append(sentence)


def moved(to: World, names: tuple[str, ...], *, version: int) -> None:
    """These sites come with what they kept of another history of the same plan, at `version`."""
    before = World(to.scene.plan, sites_of(3), seed=1)
    before.run(until_version=version)
    for name in names:
        site = to.sites[name]
        site.ended(KILLED)
        site.disk = before.sites[name].disk.copy()
        assert site.disk.record > version


def test_repro_a_study_whose_log_began_anew_stands_still_with_a_word_from_every_site() -> None:
    words = Words()
    world = World(plan_of(goal=2, versions=30), sites_of(3), seed=2, observers=[words])
    moved(world, tuple(world.sites), version=8)
    outcome = world.run(until_ms=60 * MINUTE_MS)
    assert outcome.version == 0
    assert {site.state for site in world.sites.values()} == {State.PAUSED}
    assert all("this site has seen record" in site.core.held for site in world.sites.values())
    assert len(words.said) == 3


def test_a_site_that_is_ahead_of_its_log_goes_on_by_itself_when_the_log_has_caught_up() -> None:
    words = Words()
    world = World(plan_of(goal=2, versions=30), sites_of(3), seed=2, observers=[words])
    moved(world, ("site-2",), version=8)
    late = world.sites["site-2"]
    world.run(until_version=6)
    assert late.state is State.PAUSED
    assert late.core.held
    world.run(until_version=12)
    assert not late.core.held
    assert late.state is not State.PAUSED
    assert len(words.said) == 1
