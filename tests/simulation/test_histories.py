"""Some thousand short histories with whatever goes wrong; and those that once broke something."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulation.faults import Fault
from simulation.histories import History, Play, broken, draw, shrink
from simulation.observe import Observer
from simulation.plans import PLANS
from simulation.soak import main
from simulation.vectors import UnitSum
from simulation.world import World
from tests.simulation.conftest import HISTORIES

ROOT = Path(__file__).parents[2]


def test_whatever_goes_wrong_nothing_is_lost_and_nothing_counts_twice(soak: subprocess.Popen[str]) -> None:
    """What it says of a history that breaks holds the seed, and the history made short."""
    said, _ = soak.communicate()
    assert said.endswith(f"{HISTORIES} histories, 0 broken\n"), said
    assert soak.returncode == 0, said


def test_faults_do_not_change_that_one_seed_is_one_history() -> None:
    histories = [draw(seed, PLANS) for seed in range(40)]
    assert any(history.faults for history in histories)
    for history in histories:
        assert Play(history, PLANS).run() == Play(history, PLANS).run()


def digests() -> str:
    return " ".join(Play(draw(seed, PLANS), PLANS).run().digest for seed in range(900, 920))


def test_no_history_depends_on_how_python_hashes() -> None:
    code = "from tests.simulation.test_histories import digests; print(digests())"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    wanted = digests()
    for process in begun:
        said, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert said.strip() == wanted


def test_a_site_that_is_dead_does_nothing() -> None:
    class Alive(Observer):
        def __init__(self, world: World) -> None:
            self._world, self.settled = world, 0

        def on_settled(self, site: str, sequence: int, outcome: str, now_ms: int) -> None:
            assert self._world.sites[site].alive
            self.settled += 1

    for seed in range(20):
        play = Play(draw(seed, PLANS, ("kill", "die")), PLANS)
        alive = Alive(play.world)
        play.world.scene.story.observers.append(alive)
        play.run()
        assert alive.settled


def test_repro_a_roster_that_errs_for_a_moment_stops_the_study() -> None:
    faults = (
        Fault("roster", "site-0", at_ms=3219, length_ms=25000),
        Fault("roster", "site-1", at_ms=15354, length_ms=25000),
    )
    assert broken(History(4, 2, 3, 1, 0, faults), PLANS) is None


def test_repro_a_copied_receipt_is_read_together_with_a_newer_one() -> None:
    faults = (
        Fault("cut", "site-0", at_ms=923, length_ms=3000, number=11),
        Fault("markers", "coordinator-2", at_ms=6906, length_ms=9000, number=12),
        Fault("markers", "coordinator-1", at_ms=23902, length_ms=9000),
        Fault("strangers", "coordinator-1", at_ms=26454, length_ms=400, number=4),
    )
    assert broken(History(73, 9, 1, 2, 500, faults), PLANS) is None


def test_repro_a_site_believes_its_counted_update_to_be_ended() -> None:
    assert broken(History(0, 2, 3, 1, 500, ()), PLANS) is None


def test_repro_a_site_gives_up_what_was_counted_before_its_receipt_came() -> None:
    faults = (Fault("cut", "coordinator-1", at_ms=1399, length_ms=25000),)
    assert broken(History(245, 1, 3, 1, 0, faults), PLANS) is None


def test_repro_an_offer_that_retention_took_is_waited_for_for_ever() -> None:
    faults = (
        Fault("kill", "coordinator-1", at_ms=1245, length_ms=12000),
        Fault("offers-gone", "site-0", at_ms=7587),
    )
    assert broken(History(16, 1, 1, 1, 0, faults), PLANS) is None


def test_repro_a_receipt_read_with_a_newer_version_asks_for_the_older_one() -> None:
    assert broken(History(11, 8, 2, 1, 0, ()), PLANS) is None


def test_repro_an_update_that_was_asked_for_again_is_given_up_after_a_kill() -> None:
    faults = (
        Fault("die", "site-0", at_ms=23604, length_ms=12000, number=5),
        Fault("bodies-gone", "site-0", at_ms=32926),
    )
    assert broken(History(1833, 6, 3, 1, 0, faults), PLANS) is None


def test_repro_an_update_that_was_asked_for_again_is_given_up_while_it_goes_up_once_more() -> None:
    faults = (
        Fault("bodies-gone", "site-1", at_ms=17000),
        Fault("kill", "site-1", at_ms=40533, length_ms=500),
    )
    assert broken(History(18438, 2, 3, 1, 1, faults), PLANS) is None


def test_repro_an_update_whose_body_went_with_the_newer_folder_is_nobodys_loss() -> None:
    faults = (
        Fault("old-copy", "site-1", at_ms=6478, length_ms=25000, number=5),
        Fault("bodies-gone", "site-1", at_ms=23074, length_ms=3000),
    )
    assert broken(History(64861, 6, 2, 1, 0, faults), PLANS) is None


def test_repro_an_idle_leader_and_its_next_transaction_show_what_is_hidden_at_the_same_time() -> None:
    faults = (
        Fault("flood", "site-3", at_ms=634, length_ms=50, number=12),
        Fault("cut", "coordinator-1", at_ms=747, length_ms=25000, number=8),
        Fault("freeze", "coordinator-1", at_ms=10634, length_ms=3000, number=10),
        Fault("pause-site", "site-2", at_ms=33732, length_ms=9000, number=1),
        Fault("markers", "coordinator-1", at_ms=50624, length_ms=50, number=6),
        Fault("freeze", "coordinator-1", at_ms=51590, length_ms=25000, number=8),
    )
    assert broken(History(205349, 7, 4, 1, 50, faults), PLANS) is None


def test_repro_a_leader_that_stood_by_has_never_read_the_roster_that_came_late() -> None:
    faults = (
        Fault("new-key", "site-0", at_ms=212, length_ms=25000, number=13),
        Fault("lead", "coordinator-1", at_ms=1376, length_ms=9000, number=6),
        Fault("lead", "coordinator-2", at_ms=11201, length_ms=3000, number=7),
    )
    assert broken(History(8198, 3, 3, 2, 1, faults), PLANS) is None


def test_repro_a_roster_changes_while_a_coordinator_takes_over_and_a_member_gets_no_key() -> None:
    faults = (
        Fault("die", "coordinator-1", at_ms=30242, length_ms=1, number=1),
        Fault("roster", "site-0", at_ms=51453, length_ms=400, number=6),
    )
    assert broken(History(10465, 4, 4, 1, 0, faults), PLANS) is None


def test_repro_an_offer_that_is_read_again_at_its_old_place_takes_its_body_away() -> None:
    again = (
        Fault("freeze", "coordinator-1", at_ms=22515, length_ms=9000, number=11),
        Fault("cut", "coordinator-2", at_ms=35557, length_ms=25000, number=11),
        Fault("roster", "site-4", at_ms=47001, length_ms=9000, number=10),
    )
    assert broken(History(11032, 3, 5, 2, 0, again, until_ms=61557), PLANS) is None
    anew = (
        Fault("old-copy", "site-0", at_ms=21263, length_ms=9000, number=13),
        Fault("anew", "site-0", at_ms=28386, length_ms=50, number=7),
    )
    assert broken(History(11870, 2, 3, 1, 0, anew), PLANS) is None


def test_what_breaks_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("participant.core.outbox.Outbox.remind", lambda self, newest, now_ms: None)
    needed = Fault("offers-gone", "site-0", at_ms=7587)
    death = Fault("kill", "coordinator-1", at_ms=1245, length_ms=12000)
    idle = tuple(Fault("trainer", "site-1", at_ms=1_000 * at) for at in range(6))
    history = History(16, 1, 3, 2, 50, (death, *idle, needed))

    def fails(other: History) -> bool:
        return {death, needed} <= set(other.faults)

    short = shrink(history, 1, fails)
    assert set(short.faults) == {death, needed}
    assert (short.sites, short.coordinators, short.disorder_ms) == (1, 1, 0)
    assert broken(replace(short, until_ms=0), PLANS) is not None


def test_a_soak_says_which_seed_broke_and_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add = UnitSum.add
    monkeypatch.setattr(UnitSum, "add", lambda self, body, weight: add(self, body, min(weight, 9)))
    assert main(["30-34", "--processes", "1"]) == 1
    said = capfd.readouterr().out
    assert "seed 30: sum: " in said
    assert "History(seed=30," in said
    assert "4 histories, " in said


def test_a_soak_without_a_finding_is_well() -> None:
    assert main(["3", "--processes", "1"]) == 0


@pytest.mark.parametrize("seeds", ["many", "3-x", ""])
def test_a_soak_of_nonsense_says_what_is_wanted(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([seeds])
    assert end.value.code == 2
    assert "neither a number nor FROM-TO" in capsys.readouterr().err
