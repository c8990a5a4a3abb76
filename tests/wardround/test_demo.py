"""The demo's play, its processes and what it leaves, without a broker."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from participant.core.study import LOADING
from participant.shell.control import SiteState, StudyState, Wish, changing, write_state
from runtime.child import ROOT
from schemas.errors import LocalError
from tests.wardround.synthetic import START_MS, history
from wardround.demo import catalogue, guard
from wardround.demo.held import HELD_S, HeldSites
from wardround.demo.main import complete, counted
from wardround.demo.outcome import final_table, read_pooled, summary
from wardround.demo.processes import Process, Processes
from wardround.demo.script import Act, Script, cast
from wardround.progress import Show, site_table
from wardround.report import Score, compare

SIX = tuple(f"site-{number}" for number in range(1, 7))


# -- the play


def test_two_lose_their_link_and_the_last_joins_late() -> None:
    assert (cast(SIX, 4).cut, cast(SIX, 4).late) == (("site-2", "site-4"), "site-6")


def test_where_all_are_needed_nobody_joins_late() -> None:
    assert cast(SIX, 6).late is None


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 200), st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_goal_can_be_met_at_any_moment_and_everybody_is_there_at_the_end(
    count: int, goal: int, versions: int, staleness_max: int, seed: int
) -> None:
    sites, rng = tuple(f"s{number}" for number in range(count)), random.Random(seed)
    play = Script(cast(sites, min(goal, count)), versions, staleness_max)
    there = set(sites) - ({play.cast.late} if play.cast.late else set())
    now_s, version = 0.0, 0
    while version < versions:
        for act in play.acts(version, now_s):
            there ^= {act.site}
        assert goal >= count or len(there) >= goal
        now_s += rng.uniform(0.0, 2.0)
        version += rng.randint(0, 3)
    for act in play.acts(version, now_s, final=True):
        there ^= {act.site}
    assert there == set(sites)


def test_a_cut_ends_after_three_seconds_even_when_the_study_stands_still() -> None:
    play = Script(cast(SIX, 6), 100, 64)
    assert play.acts(25, 0.0) == [Act("cut", "site-2")]
    assert play.acts(25, 2.9) == []
    assert play.acts(25, 3.0) == [Act("restore", "site-2")]


def test_a_cut_ends_before_an_update_would_be_too_stale_to_count() -> None:
    play = Script(cast(SIX, 4), 100, 5)
    play.acts(10, 0.0)
    assert play.acts(25, 0.0) == [Act("cut", "site-2")]
    assert play.acts(29, 0.1) == [Act("restore", "site-2")]


def test_the_end_restores_a_cut_link_at_once() -> None:
    play = Script(cast(SIX, 4), 100, 64)
    play.acts(10, 0.0)
    play.acts(25, 0.0)
    assert play.acts(100, 0.1, final=True) == [Act("restore", "site-2")]


# -- what is asked for


def test_an_unknown_study_or_missing_data_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no demo of"):
        catalogue.demo("liver", None)
    with pytest.raises(LocalError, match="needs data") as caught:
        catalogue.demo("heart", None)
    assert "DATA=" in caught.value.hint
    with pytest.raises(LocalError, match="lacks processed"):
        catalogue.demo("heart", tmp_path)
    with pytest.raises(LocalError, match="brings its own data"):
        catalogue.demo("lung", tmp_path)


@pytest.mark.parametrize("name", sorted(catalogue.DEMOS))
def test_every_demo_has_its_plans(name: str) -> None:
    assert all(path.is_file() for path in catalogue.DEMOS[name].plans)


# -- processes


SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    kept = Processes(tmp_path)
    yield kept
    kept.stop()


def sleeper(processes: Processes, name: str = "one", *, service: bool = True) -> Process:
    return processes.launch(name, [*SLEEP, str(processes.folder / name)], service=service)


def until(happened: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)
    return happened()


def test_processes_json_has_what_is_needed_to_start_each_again(processes: Processes, tmp_path: Path) -> None:
    process = sleeper(processes)
    (row,) = json.loads((tmp_path / "processes.json").read_text())
    assert row == {
        "name": "one",
        "pid": process.pid,
        "argv": process.argv,
        "cwd": str(process.cwd),
        "env": process.env,
    }


def test_a_killed_service_is_gone_until_somebody_starts_it_again_by_its_line(
    processes: Processes, tmp_path: Path
) -> None:
    process = sleeper(processes)
    process.signal(signal.SIGKILL)
    assert until(lambda: processes.gone() == [process])
    row = json.loads((tmp_path / "processes.json").read_text())[0]
    again = subprocess.Popen(row["argv"], cwd=row["cwd"], env=row["env"])
    assert until(lambda: processes.gone() == [])
    assert json.loads((tmp_path / "processes.json").read_text())[0]["pid"] == again.pid
    processes.stop()
    assert again.wait(10) != 0


def test_a_helper_that_dies_is_not_waited_for(processes: Processes) -> None:
    sleeper(processes, service=False).signal(signal.SIGKILL)
    assert processes.gone() == []


def test_a_helper_that_fails_says_why_in_one_line(processes: Processes) -> None:
    failed = processes.launch(
        "central", [sys.executable, "-c", "print('error: no table\\nhint:  mend it')"], service=False
    )
    assert until(lambda: not failed.is_alive())
    assert failed.last_words() == "error: no table; hint:  mend it"
    killed = sleeper(processes, service=False)
    killed.signal(signal.SIGKILL)
    assert until(lambda: not killed.is_alive())
    assert killed.last_words() == "its process was ended"


def test_a_service_that_is_set_up_wrongly_is_not_waited_for(processes: Processes) -> None:
    line = [sys.executable, "-c", "import sys; print('error: bad key'); sys.exit(2)"]
    processes.launch("one", line).child.wait(30)  # type: ignore[union-attr]  # it was launched here
    with pytest.raises(LocalError, match="error: bad key"):
        processes.gone()


def test_stop_leaves_no_process_and_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.demo.processes.STOP_S", 0.5)
    processes = Processes(tmp_path)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    process = processes.launch("deaf", [sys.executable, "-c", deaf, str(processes.folder)])
    assert until(lambda: "up" in process.log.read_text())
    sleeper(processes)
    processes.stop()
    assert guard.owned(processes.folder) == []
    assert not processes.folder.exists()
    assert not (tmp_path / ".run").exists()


_KILLED = """
import os, signal, sys
from collections.abc import Callable, Iterator
from pathlib import Path
from wardround.demo.processes import Processes
processes = Processes(Path(sys.argv[1]))
processes.launch("one", [sys.executable, "-c", "import time; time.sleep(600)", str(processes.folder)])
print(processes.folder, flush=True)
if sys.argv[2] == "guard too":
    os.kill(processes._guard.pid, signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_demo(out: Path, how: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(out), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return Path(done.stdout.strip())


def test_when_the_demo_is_killed_its_processes_end_and_its_folder_goes(tmp_path: Path) -> None:
    folder = killed_demo(tmp_path, "demo alone")
    assert until(lambda: not guard.owned(folder) and not folder.exists())


def test_the_next_demo_ends_what_a_killed_one_has_left(tmp_path: Path) -> None:
    folder = killed_demo(tmp_path, "guard too")
    assert guard.owned(folder)
    Processes(tmp_path).stop()
    assert not guard.owned(folder)
    assert not folder.exists()


def test_the_guard_removes_no_folder_of_another_kind(tmp_path: Path) -> None:
    assert guard.end_all(tmp_path)
    assert tmp_path.exists()


def test_services_see_no_secret_of_the_shell(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_KAFKA_BOOTSTRAP", "elsewhere:9092")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    env = sleeper(processes).env
    assert env["PATH"] == os.environ["PATH"]
    assert not {"WARDROUND_KAFKA_BOOTSTRAP", "SOME_TOKEN"} & env.keys()


# -- sites that are held


def stands(folder: Path, state: str, held: str = "") -> None:
    folder.mkdir(exist_ok=True)
    write_state(folder, SiteState(1, 0, studies=(StudyState("heart", state, held),)))


def test_a_site_whose_data_cannot_be_loaded_ends_the_demo_with_its_name_and_the_reason(tmp_path: Path) -> None:
    held, folders = HeldSites(), {"va": tmp_path / "va"}
    assert held.look(folders, 0.0) == []
    stands(folders["va"], "idle", LOADING)
    assert held.look(folders, 1.0) == []
    stands(folders["va"], "paused", "va.data: 2 of 2 lines do not have 14 fields")
    assert held.look(folders, 2.0) == ["va is held: va.data: 2 of 2 lines do not have 14 fields"]
    assert held.look(folders, 2.0 + HELD_S / 2) == []
    with pytest.raises(LocalError, match=r"va cannot begin: va\.data: 2 of 2 lines"):
        held.look(folders, 2.0 + HELD_S)


def test_a_site_that_is_held_in_the_midst_of_its_work_is_told_and_waited_for(tmp_path: Path) -> None:
    held, folders = HeldSites(), {"va": tmp_path / "va"}
    stands(folders["va"], "training")
    held.look(folders, 0.0)
    stands(folders["va"], "paused", "the trainer was killed")
    assert held.look(folders, 1.0) == ["va is held: the trainer was killed"]
    assert held.look(folders, 100.0) == []
    stands(folders["va"], "idle")
    assert held.look(folders, 101.0) == ["va goes on"]


def test_a_site_whose_work_fails_again_and_again_is_told_and_waited_for(tmp_path: Path) -> None:
    held, folders = HeldSites(), {"va": tmp_path / "va"}
    stands(tmp_path / "va", "training")
    assert held.look(folders, 0.0) == []
    stands(tmp_path / "va", "failing", "training has failed 3 times in a row or more")
    assert held.look(folders, 1.0) == ["va is held: training has failed 3 times in a row or more"]
    assert held.look(folders, 1.0 + 2 * HELD_S) == []
    stands(tmp_path / "va", "training")
    assert held.look(folders, 60.0) == ["va goes on"]


def test_a_site_that_its_operator_has_paused_does_not_end_the_demo(tmp_path: Path) -> None:
    held, folders = HeldSites(), {"va": tmp_path / "va"}
    stands(folders["va"], "paused", "paused by the operator")
    (folders["va"] / "site.db").touch()
    with changing(folders["va"]) as wishes:
        wishes[0] = Wish(serial=1, all=True)
    assert held.look(folders, 0.0) == []
    assert held.look(folders, 100.0) == []


# -- what it shows and leaves


def test_the_summary_has_the_fields_scripts_rely_on() -> None:
    grown = history()
    compared = compare(grown, {"site-1": Score(0.6)})
    values = summary(grown, compared, 12.34)
    assert list(values) == [
        "study", "plan_digest", "versions", "sites", "offers", "counted", "refused", "seconds", "metric",
    ]  # fmt: skip
    assert list(values["metric"]) == ["name", "higher_is_better", "alone", "federated", "pooled", "overall"]
    assert (values["versions"], values["sites"], values["counted"], values["seconds"]) == (20, 6, grown.counted, 12.3)
    assert values["metric"]["pooled"]["site-1"] == values["metric"]["overall"]["pooled"] == 0.6
    assert values["metric"]["pooled"]["site-2"] is None
    json.dumps(values, allow_nan=False)


def test_pooled_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "lung.pooled.json"
    path.write_text('{"site-1": [0.5, 0.4, 0.6], "site-2": [0.7, null, null]}')
    assert read_pooled(path) == {"site-1": Score(0.5, 0.4, 0.6), "site-2": Score(0.7)}
    with pytest.raises(LocalError, match="cannot be read"):
        read_pooled(tmp_path / "none.json")


def printed(*drawn: object, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115  # lives as long as the test
    for one in drawn:
        console.print(one)
    return console.export_text()


def test_the_final_table_fits_a_narrow_terminal_with_its_site_names() -> None:
    grown = history()
    pooled = {name: Score(0.6, 0.5, 0.7) for name in grown.sites}
    text = printed(final_table(compare(grown, pooled)), width=80)
    assert all(name in text for name in (*grown.sites, "overall", "0.600 (0.50–0.70)"))


def test_the_table_of_sites_says_who_is_away_and_what_became_of_the_last_update() -> None:
    grown = history()
    end_ms = max(site.seen_ms[-1] for site in grown.sites.values())
    text = printed(site_table(grown, end_ms, 0.75, {"site-3": "link cut"}))
    assert "counted in version" in text
    assert "link cut" in text
    assert "away" in printed(site_table(grown, end_ms + 3000, 0.75))


def test_without_a_terminal_a_tenth_of_the_versions_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    grown = history()
    with Show(0.75, console=Console(force_terminal=False), clock=lambda: START_MS / 1000) as show:
        show.grown(grown)
        show.grown(grown)
        show.note("site-2 loses its link")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "lung: version 20 of 20, c-index" in lines[0]


def test_a_study_is_complete_when_every_site_judged_the_last_version_and_nothing_is_undecided() -> None:
    grown = history()
    assert not complete(grown)  # some offers never got an answer in this one
    for site in grown.sites.values():
        for sequence in [number for number in site.offers if number not in site.decisions]:
            del site.offers[sequence]
    assert complete(grown)
    del grown.sites["site-5"].evaluations[20]
    assert not complete(grown)


def test_counted_adds_up_over_studies() -> None:
    grown = history()
    assert counted([grown, grown], "site-1") == 2 * sum(
        update.site == "site-1" for version in grown.versions.values() for update in version.cohort
    )


def test_what_a_run_could_not_end_is_ended_by_the_next(tmp_path: Path) -> None:
    first = Processes(tmp_path)
    left = sleeper(first)
    first._guard.kill()
    first._guard.wait(10)
    first.close()
    assert left.is_alive()
    assert (tmp_path / ".run").exists()
    second = Processes(tmp_path)
    assert guard.owned(first.folder) == []
    assert not first.folder.exists()
    second.close()
    assert not (tmp_path / ".run").exists()
