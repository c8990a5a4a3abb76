"""A study's own folder becomes a rehearsal, or what is missing is said before anything starts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.plans.draft import draft_of
from runtime.child import ROOT
from schemas.errors import LocalError
from wardround.demo import rehearsal
from wardround.demo.bounds import Bounds
from wardround.demo.rehearsal import rehearsal_of, tables_of

TASK = (ROOT / "tests" / "participant" / "tiny" / "task.py").read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with umlauts and blanks, outside the checkout."""
    place = tmp_path / "Süd Klinik (2)"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    yield place
    for name in [name for name in sys.modules if name.partition(".")[0] == "rehearsed_ward"]:
        del sys.modules[name]


def study(place: Path, name: str = "rehearsed_ward") -> Path:
    (place / name).mkdir()
    (place / name / "task.py").write_text(TASK)
    return place / name


def tables(place: Path, *names: str) -> Path:
    folder = place / "Tabellen für alle"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("patient,age\n1,50\n")
    return folder


def test_a_folder_without_a_plan_gets_one_for_its_tables_and_keeps_it(place: Path) -> None:
    folder, data = study(place), tables(place, "site-1.csv", "site-2.csv", "site-10.csv", ".hidden.csv", "notes.txt")
    found, told = rehearsal_of(folder, data, Bounds())
    assert found.drafts()[0].sites == ("site-1", "site-2", "site-10")
    assert found.drafts()[0].entry == "rehearsed_ward.task:task"
    assert (found.name, found.task_folder) == ("rehearsed-ward", folder)
    assert str(folder / "plan.toml") in told[0]
    written = (folder / "plan.toml").read_bytes()
    again, told = rehearsal_of(folder, data, Bounds())
    assert (again.plans, told) == (found.plans, [])
    assert (folder / "plan.toml").read_bytes() == written


@pytest.mark.parametrize("name", ["lung", "breast", "linear_regression", "heart", "eicu"])
def test_every_study_of_the_repository_can_be_tried_by_its_folder(name: str) -> None:
    found, told = rehearsal_of(ROOT / "studies" / name, None, Bounds(sites=4))
    assert told == []
    assert found.task_folder is None
    assert {len(draft.sites) for draft in found.drafts()} == {4}


def refused(folder: Path, data: Path | None, text: str, *, hint: str = "") -> None:
    before = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    with pytest.raises(LocalError, match=text) as caught:
        rehearsal_of(folder, data, Bounds())
    assert hint in caught.value.hint
    assert caught.value.hint
    assert (sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []) == before


def test_what_is_missing_is_said_and_nothing_is_written(place: Path) -> None:
    folder = study(place)
    refused(place / "nowhere", None, r"no task\.py", hint="studies/README.md")
    refused(folder, None, r"no plan\.toml", hint="--data")
    refused(folder, place / "nowhere", "is not there")
    refused(folder, tables(place), "no table", hint="site-1.csv")


def test_one_table_or_one_of_a_wrong_name_is_said(place: Path) -> None:
    folder = study(place)
    data = tables(place, "site-1.csv")
    refused(folder, data, "one table")
    (data / "Hospital_A.csv").touch()
    refused(folder, data, "`Hospital_A` is no name", hint="small letters")


def test_a_site_without_its_table_is_named(place: Path) -> None:
    folder, data = study(place), tables(place, "site-1.csv", "site-2.csv", "site-3.csv")
    rehearsal_of(folder, data, Bounds())
    (data / "site-2.csv").unlink()
    refused(folder, data, "no table for site-2", hint="site-2.csv")


def test_tables_that_the_plan_does_not_name_are_told_and_not_played(place: Path) -> None:
    folder, data = study(place), tables(place, "site-1.csv", "site-2.csv")
    rehearsal_of(folder, data, Bounds())
    (data / "site-3.csv").write_text("patient,age\n1,50\n")
    found, told = rehearsal_of(folder, data, Bounds())
    assert found.drafts()[0].sites == ("site-1", "site-2")
    assert len(told) == 1
    assert "not played: site-3;" in told[0]


def test_a_table_given_for_the_folder_of_tables_is_no_folder(place: Path) -> None:
    data = tables(place, "site-1.csv", "site-2.csv")
    refused(study(place), data / "site-1.csv", "is no folder", hint="--data")


def test_a_folder_named_like_an_installed_package_is_the_study_all_the_same(place: Path) -> None:
    found, _ = rehearsal_of(study(place, "json"), tables(place, "a.csv", "b.csv"), Bounds())
    assert found.drafts()[0].entry == "json.task:task"


def test_a_copied_studys_plan_that_names_the_original_is_told(place: Path) -> None:
    folder = study(place, "mine")
    (folder / "plan.toml").write_text((ROOT / "studies" / "lung" / "plan.toml").read_text())
    refused(folder, None, "does not lie in", hint="mine.task:task")


def test_more_sites_than_memory_allows_are_refused_with_a_number_that_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\nMemAvailable:    4000000 kB\n")
    monkeypatch.setattr(rehearsal, "_MEMORY", tmp_path / "meminfo")
    with pytest.raises(LocalError, match="174 sites need about") as caught:
        rehearsal_of(ROOT / "studies" / "eicu", None, Bounds())
    few = int(caught.value.hint.partition("--sites ")[2].partition(";")[0])
    rehearsal_of(ROOT / "studies" / "eicu", None, Bounds(sites=few))


DRAFT = {
    "study": {"id": "a"},
    "members": {"sites": [f"s{n}" for n in range(40)]},
    "task": {"entry": "a.task:task"},
    "aggregation": {"goal": 30, "minimum": 20, "cohort_min": 10},
    "stop": {"versions": 50, "time_s": 600},
}


def test_every_bound_has_its_effect_on_the_plan_that_is_played() -> None:
    draft = draft_of(DRAFT)
    assert Bounds().applied(draft) == draft
    few = Bounds(versions=7, minutes=2, sites=4).applied(draft)
    assert few.sites == ("s0", "s1", "s2", "s3")
    assert few.values["stop"]["versions"] == 7
    assert few.values["stop"]["time_s"] == 120
    assert [few.values["aggregation"][name] for name in ("goal", "minimum", "cohort_min")] == [3, 2, 1]
    more = Bounds(versions=700, minutes=200, sites=400).applied(draft)
    assert more == draft


@pytest.mark.parametrize("bound", [{"versions": 0}, {"minutes": 0.0}, {"minutes": float("nan")}, {"sites": -1}])
def test_a_bound_that_bounds_nothing_sensible_is_refused(bound: dict[str, float]) -> None:
    with pytest.raises(LocalError, match="does not do"):
        Bounds(**bound)  # type: ignore[arg-type]  # one of three, each of its type


def test_tables_are_found_without_reading_them(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).touch()
        os.chmod(tmp_path / name, 0)
    assert tables_of(tmp_path) == ("a", "b")
