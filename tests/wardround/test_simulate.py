"""Plans played ahead: alternatives side by side, the same for the same seed, and mistakes in one clear line."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learning.entry import load_task
from learning.task import DataSource, SiteData
from registry.plans.authoring import AuthoredPlan, author_draft
from registry.plans.draft import Draft, TaskFacts
from registry.plans.template import plan_template
from rehearsal.course import Course
from rehearsal.play import Played
from rehearsal.variants import THIS, read_tables, variants
from schemas.errors import LocalError
from schemas.plan import Plan
from wardround.cli import main
from wardround.simulate import figures
from wardround.simulate.table import rows

STUDIES = Path(__file__).parents[2] / "studies"
PLAN = STUDIES / "lung" / "plan.toml"
LINE = STUDIES / "linear_regression" / "plan_plain.toml"
FEW = ("--versions", "6", "--parameters", "7")


def author(draft: Draft) -> Plan:
    return draft.plan(TaskFacts(7, bytes(32), bytes(32), "metric", higher_is_better=True))


def played(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["simulate", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_combination_is_a_plan_or_tells_why_it_is_none() -> None:
    found = variants(
        read_tables(PLAN), ["aggregation.goal=2,5", "encoding.clip=1.0,2.0"], author, presets=True, where=str(PLAN)
    )
    labels = [one.label for one in found]
    assert labels[:4] == [THIS, "preset fedavg", "preset fedasync", "preset fedbuff"]
    assert labels[4:] == ["goal 2, clip 1.0", "goal 2, clip 2.0", "goal 5, clip 1.0", "goal 5, clip 2.0"]
    assert [one.plan.aggregation.goal for one in found if one.plan] == [4, 6, 1, 4, 5, 5]
    assert "cohort_max >= goal >= minimum" in found[4].refused


def test_a_preset_weighs_by_examples_where_the_plan_does() -> None:
    weighted = STUDIES / "linear_regression" / "plan_weighted.toml"
    found = variants(read_tables(weighted), [], author, presets=True, where=str(weighted))
    assert {(one.plan.aggregation.examples, one.plan.aggregation.examples_max) for one in found if one.plan} == {
        ("examples", 100)
    }


def test_a_study_that_is_learnt_brings_its_example_weights_along(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Plan] = []
    monkeypatch.setattr("registry.plans.authoring.author_draft", _noting(made))
    assert main(["simulate", str(LINE), "--learn", str(LINE.with_name("plan_weighted.toml")), "--versions", "2"]) == 0
    assert {plan.aggregation.examples_max for plan in made} == {100}


def _noting(made: list[Plan]) -> Callable[[Draft], AuthoredPlan]:
    def author_and_note(draft: Draft) -> AuthoredPlan:
        authored = author_draft(draft)
        made.append(authored.plan)
        return authored

    return author_and_note


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("aggregation.gaol=2", "--vary gaol 2: unknown key aggregation.gaol; did you mean `goal`?"),
        ("aggregate.goal=2", "--vary goal 2: unknown section [aggregate]; did you mean `aggregation`?"),
        ("aggregation.goal=2,many", "--vary goal many: aggregation.goal must be a whole number, got 'many' (str)"),
    ],
)
def test_a_value_that_no_plan_can_have_is_refused_before_anything_is_played(
    vary: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(PLAN), *FEW, "--vary", vary]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_table_and_figure_say_the_same_bytes() -> None:
    drawn: list[str] = []
    course = Course(["a"])
    course.sites["a"].up_bytes = course.sites["a"].down_bytes = 25_500
    one = Played("x", author(_draft()), course=course, ended="versions")
    for axes in figures.costs([one]).axes:
        drawn += [text.get_text() for text in axes.texts]
    [cells] = rows([one], None)[1]
    assert cells[-1] == "26 kB"
    assert drawn.count("26 kB") == 2


@pytest.mark.parametrize(
    ("option", "columns"),
    [("--trace", "site,from_s,to_s"), ("--speeds", "site,train_s,up_bytes_s,down_bytes_s")],
)
def test_a_table_with_another_separator_is_told_its_columns(
    option: str, columns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = tmp_path / "t.csv", columns.replace(",", ";")
    path.write_text(f"\ufeff{found}\n")
    assert main(["simulate", str(PLAN), *FEW, option, str(path)]) == 2
    told = capsys.readouterr().err
    assert f"the header must be {columns}, it is `{found}`" in told
    assert "separated by commas" in told


def test_a_page_that_could_not_be_written_is_refused_before_anything_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "none.toml", "--html", str(tmp_path)]) == 2
    assert f"{tmp_path} cannot be written: it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("vary", ["goal=2", "aggregation.goal", "aggregation.goal=", "=2"])
def test_a_list_of_values_that_is_none_is_refused(vary: str) -> None:
    with pytest.raises(LocalError, match="is no list of values"):
        variants(read_tables(PLAN), [vary], author, presets=False, where=str(PLAN))


def test_too_many_alternatives_are_refused_before_anything_is_played() -> None:
    with pytest.raises(LocalError, match="21 plans to play, at most 16"):
        variants(read_tables(PLAN), ["study.seed=" + ",".join("1234567890" * 2)], author, presets=False, where="")


def test_one_seed_is_one_course_and_another_seed_another(capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(PLAN), *FEW, "--trace", "flapping")
    assert played(capsys, *words) == played(capsys, *words)
    assert played(capsys, *words)["plans"] != played(capsys, *words, "--seed", "1")["plans"]


def test_invented_sites_take_the_place_of_the_plans(capsys: pytest.CaptureFixture[str]) -> None:
    [one] = played(capsys, str(PLAN), *FEW, "--sites", "30")["plans"]
    assert len(one["sites"]) == 30
    assert one["ended"] == "versions"
    assert one["versions"] == 6
    assert sum(site["share"] for site in one["sites"].values()) == pytest.approx(1, abs=1e-4)


def test_a_goal_that_waits_for_all_takes_longer_at_night_and_hears_all(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--vary", "aggregation.preset=fedavg", "--vary", "aggregation.goal=6", "--vary", "aggregation.minimum=6")
    found = played(capsys, str(PLAN), *FEW, "--trace", "nightly", *words)["plans"]
    four, six = found
    assert six["voices"] == pytest.approx(6)
    assert six["version_s"][-1] > four["version_s"][-1]


def test_a_study_that_never_ends_stops_at_the_limit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "away.csv"
    trace.write_text("site,from_s,to_s\n" + "".join(f"site-{number},0,60\n" for number in range(1, 7)))
    [one] = played(capsys, str(PLAN), *FEW, "--trace", str(trace), "--limit", "3d")["plans"]
    assert one["ended"] == "limit"
    assert one["versions"] == 0


def test_the_page_holds_its_figures_and_loads_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    words = ["simulate", str(PLAN), *FEW, "--vary", "aggregation.goal=2,5", "--html", str(path)]
    assert main(words) == 0
    page, told = path.read_text("utf-8"), capsys.readouterr().out
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "goal 2" in page
    assert "goal 2: no plan: aggregation needs cohort_max" in told
    again = tmp_path / "again.html"
    assert main([*words[:-1], str(again)]) == 0
    assert again.read_text("utf-8") == page


def test_where_no_alternative_is_a_plan_each_tells_why_and_the_code_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan, page = tmp_path / "plan.toml", tmp_path / "page.html"
    plan.write_text(PLAN.read_text("utf-8").replace("goal = 4", "goal = 2"))
    assert main(["simulate", str(plan), *FEW, "--html", str(page)]) == 2
    assert "this plan: no plan: aggregation needs cohort_max" in " ".join(capsys.readouterr().out.split())
    assert not page.exists()


def test_with_learning_the_metric_reaches_its_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    words = (str(LINE), "--versions", "60", "--learn", "--target", "2.0", "--html", str(path))
    [one] = played(capsys, *words)["plans"]
    values = [value for _, value in one["curve"]]
    assert len(values) == 61
    assert values[-1] < 2.0 < values[0]
    assert one["reached_s"] == one["held_s"] == next(at for at, value in one["curve"] if value <= 2.0)
    assert path.read_text("utf-8").count("<svg") == 5


def test_learning_changes_nothing_in_who_is_heard_when(capsys: pytest.CaptureFixture[str]) -> None:
    plain = played(capsys, str(LINE), "--versions", "5")["plans"][0]
    learnt = played(capsys, str(LINE), "--versions", "5", "--learn", "--target", "1")["plans"][0]
    assert plain["version_s"] == learnt["version_s"]
    assert plain["sites"] == learnt["sites"]


def test_a_study_may_be_learnt_under_another_plans_rules(capsys: pytest.CaptureFixture[str]) -> None:
    [one] = played(capsys, str(PLAN), "--versions", "2", "--learn", str(LINE), "--target", "1")["plans"]
    assert len(one["sites"]) == 10
    assert one["counted"] < 2 * 10  # of the ten, as many as the other plan's goal


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.toml"], "none.toml cannot be read"),
        ([str(PLAN), "--trace", "weekly"], "there is no trace `weekly`"),
        ([str(PLAN), "--trace", "none.csv"], "none.csv cannot be read"),
        ([str(PLAN), "--up", "fast"], "--up `fast` is no rate"),
        ([str(PLAN), "--train", "0s"], "--train `0s` is no time"),
        ([str(PLAN), "--limit", "-5"], "--limit `-5` is no time"),
        ([str(PLAN), "--learn", "--target", "nan"], "--target nan is no value of a metric"),
        ([str(PLAN), "--learn", "--sites", "5"], "--sites invents sites"),
        ([str(PLAN), "--learn", "--parameters", "5"], "--parameters"),
        ([str(PLAN), "--target", "1"], "belong to --learn"),
        ([str(LINE), "--learn", "--data", "here"], "--data here does nothing: the task studies.linear"),
        ([str(PLAN), "--learn", str(LINE), "--data", "here"], "--data here does nothing: the task studies.linear"),
        ([str(PLAN), "--spread", "0"], "--spread 0 is not within"),
        ([str(PLAN), "--sites", "0"], "--sites 0 is not within"),
        ([str(PLAN), "--speeds", "s.csv", "--up", "1Mbit"], "--up would do nothing beside --speeds"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_ends_with_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["simulate", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        ([], "TypeError (test_simulate.py, line", "--data is not set"),
        (["--data", "{folder}"], "KeyError (test_simulate.py, line", "is this the folder that the task reads"),
    ],
)
def test_a_task_that_cannot_load_its_patients_is_named_with_its_line_and_no_text_that_they_may_be_in(
    data: list[str], said: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def load(self: object, source: DataSource) -> SiteData:
        folder: Any = source.folder
        columns = {"file": folder / "patients.csv"}
        raise AssertionError(columns["patient"])

    monkeypatch.setattr(type(load_task("tests.wardround.tasks.small:task")), "load", load)
    assert main(["plan", "init", "tests.wardround.tasks.small:task", "--out", str(tmp_path / "plan.toml")]) == 0
    given = [word.format(folder=tmp_path) for word in data]
    assert main(["simulate", str(tmp_path / "plan.toml"), "--learn", *given]) == 2
    told = capsys.readouterr().err
    assert f"the task tests.wardround.tasks.small cannot load the patients of site-1: {said}" in told
    assert hint in told
    assert "patient'" not in told


def test_a_trace_that_leaves_out_a_site_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("site,from_s,to_s\nsite-1,0,60\n")
    assert main(["simulate", str(PLAN), *FEW, "--trace", str(trace)]) == 2
    assert "nothing about 5 of 6 sites: site-2, site-3" in capsys.readouterr().err


def test_reached_once_is_not_held_for_good() -> None:
    plan = author(_draft())
    one = Played("x", plan, course=Course([]), ended="versions", curve=((0, 0.1), (1, 0.9), (2, 0.5), (3, 0.8)))
    assert (one.reached_ms(0.75), one.held_ms(0.75)) == (1, 3)
    assert (one.reached_ms(0.85), one.held_ms(0.85)) == (1, None)
    assert one.reached_ms(0.95) is None


def _draft() -> Draft:
    found = variants(read_tables(PLAN), [], author, presets=False, where="")[0].draft
    assert found is not None
    return found


def test_more_epochs_take_longer_and_the_same_work_takes_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--vary", "training.epochs=5,15", "--spread", "1")
    this, same, more = played(capsys, str(PLAN), *FEW, *given)["plans"]
    assert this["version_s"] == same["version_s"]
    assert more["version_s"][-1] > 2.5 * this["version_s"][-1]


def test_plans_that_played_alike_and_clipped_updates_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", str(LINE), "--versions", "2", "--learn", "--target", "1000", "--vary", "encoding.clip=0.001"]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "the same history: this plan; clip 0.001. What" in told
    assert "look again, clip 0.001: updates are clipped: 20 of 20 (100%)" in told
    assert "look again, clip 0.001: federated stays below alone" in told
    assert "version 0, untrained, is at the target of 1000.000 already" in told


def test_a_site_with_nobody_to_train_on_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rehearsal.learning.without_training", lambda _: ("site-x",))
    assert main(["simulate", str(LINE), "--versions", "2", "--learn"]) == 0
    assert (
        "left out of every figure: 1 of 11 sites, whose patients are all for testing: site-x" in capsys.readouterr().out
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The plan of a study in a folder of its own, and `ward.csv` beside it with one bad record that it allows."""
    folder = tmp_path / "ward_of_my_own"
    shutil.copytree(STUDIES.parent / "tests" / "participant" / "tables", folder)
    rows = [f"p{number},{20 + number},{'FM'[number % 2]},{number % 3 % 2}\n" for number in range(60)]
    (folder / "ward.csv").write_text("patient,age,sex,ill\n" + "".join(rows) + "p60,500,F,1\n")
    text = plan_template(
        study="ward", entry="ward_of_my_own.task:task", sites=("site-1", "site-2", "site-3"), parameters=1,
        metric="accuracy", weight="n-test", higher_is_better=True,
    )  # fmt: skip
    assert "# bad_records_max = 0.0 " in text
    (folder / "plan.toml").write_text(text.replace("# bad_records_max = 0.0 ", "bad_records_max = 0.1 "))
    return folder / "plan.toml"


def test_a_study_beside_its_plan_is_found_and_its_bad_records_are_set_aside_as_at_a_site(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(elsewhere), "--learn", "--data", str(elsewhere.parent), "--versions", "2"]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_what_a_study_allows_of_bad_records_comes_with_the_study_that_is_learnt(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = elsewhere.with_name("strict.toml")
    strict.write_text(elsewhere.read_text().replace("\nbad_records_max", "\n# bad_records_max"))
    words = ["simulate", str(strict), "--learn", str(elsewhere), "--data", str(elsewhere.parent), "--versions", "2"]
    assert main(words) == 0, capsys.readouterr().err
