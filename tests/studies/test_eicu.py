"""The eicu study: each hospital reads its own stays alone, no patient is on both sides, and it learns what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from learning.task import DataSource, SiteData
from rehearsal import comparing
from rehearsal.comparing import Study, read_study, run_once, together
from rehearsal.federated import federated
from schemas.errors import LocalError
from studies.eicu.task import CONSTANTS, OUTCOME, task

PLAN = Path(comparing.__file__).parents[1] / "studies" / "eicu" / "plan.toml"
COLUMNS = ("hospitalid", "uniquepid", *(name for name in CONSTANTS if name != "unscored"), OUTCOME)
STAY = dict(zip(COLUMNS, ("73", "p-1", "65", "Male", "45", "60", "0.03", "0.05", "ALIVE"), strict=True))


def write(folder: Path, *stays: dict[str, str]) -> DataSource:
    """A table of such stays; what a stay leaves out is as in STAY. Returns the source of hospital-73."""
    with (folder / "patient.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(STAY | stay for stay in stays)
    return DataSource("hospital-73", folder)


def everyone(data: SiteData) -> list[tuple[float, ...]]:
    return sorted(map(tuple, np.concatenate([data.train.inputs, data.test.inputs]).tolist()))


@pytest.fixture(scope="module")
def study() -> Study:
    return read_study(PLAN)


@pytest.fixture(scope="module")
def hospitals(study: Study, eicu_folder: Path) -> list[SiteData]:
    """Those of the plan, each with its own rows: all read the whole table, so it takes a second."""
    return study.load(eicu_folder)


def test_the_plan_names_the_174_hospitals_with_an_outcome_and_their_1838_stays(hospitals: list[SiteData]) -> None:
    assert len(hospitals) == 174
    assert sum(len(data.train) + len(data.test) for data in hospitals) == 1838
    assert sum(int(part.targets.sum()) for data in hospitals for part in (data.train, data.test)) == 155
    assert all(np.isfinite(data.train.inputs).all() and len(data.train) for data in hospitals)


def test_federated_comes_near_pooled_and_far_above_alone(study: Study, hospitals: list[SiteData]) -> None:
    """One split of the twenty of its README: enough to notice that something broke."""
    run = run_once(study, hospitals, seed=0, judge=together)
    assert run.federated > run.alone + 0.1
    assert run.federated > run.pooled - 0.02
    assert run.longest < 4.0  # the plan's clip


def test_a_hospital_keeps_its_own_rows_alone_and_counts_their_bytes(tmp_path: Path) -> None:
    source = write(tmp_path, {}, {"hospitalid": "7"}, {"hospitalid": "733"}, {"uniquepid": "p-2", OUTCOME: ""})
    data = task.load(source)
    assert len(data.train) + len(data.test) == 1
    lines = (tmp_path / "patient.csv").read_bytes().splitlines(keepends=True)
    assert data.bytes_data == len(lines[1]) + len(lines[4])


def test_all_stays_of_a_patient_lie_on_one_side_at_two_hospitals_too(tmp_path: Path) -> None:
    for number in range(20):
        stay = {"uniquepid": f"p-{number}"}
        write(tmp_path, stay, stay, stay | {"hospitalid": "8"})
        own, other = (task.load(DataSource(site, tmp_path)) for site in ("hospital-73", "hospital-8"))
        assert sorted((len(own.train), len(own.test))) == [0, 2]
        assert (len(own.test) > 0) == (len(other.test) > 0)


def test_what_is_missing_becomes_the_centre_and_is_told_by_an_input(tmp_path: Path) -> None:
    none = {"acutephysiologyscore": "-1", "apachescore": "-1.0", "predictedhospitalmortality": "-1", "age": ""}
    data = task.load(write(tmp_path, none, {"acutephysiologyscore": "65"}))
    at = list(CONSTANTS)
    missing, scored = sorted(everyone(data), key=lambda row: -row[at.index("unscored")])
    assert [missing[at.index(name)] for name in none] == [0, 0, 0, 0]
    assert (missing[at.index("unscored")], scored[at.index("unscored")]) == (1, 0)
    assert scored[at.index("acutephysiologyscore")] == 1


def test_a_hospital_where_nobody_died_trains_and_has_no_auc(tmp_path: Path) -> None:
    data = task.load(write(tmp_path, *({"uniquepid": f"p-{number}"} for number in range(30))))
    study, before = read_study(PLAN, versions=3), task.initial(0)
    after = federated(task, [data], study.plan, seed=0).vector
    assert task.evaluate(after, data) == {"pairs": 0.0, "n-test": float(len(data.test))}
    assert task.loss_on(after, data.train) < task.loss_on(before, data.train)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    values = task.measure(np.array([[0.5], [0.2], [0.2], [0.9]]), np.array([1, 0, 1, 0]))
    assert values == {"pairs": 4.0, "auc": 0.375}


@pytest.mark.parametrize(
    ("stays", "site", "message"),
    [
        ([{}], "hospital-9", "hospital-9 has no stay"),
        ([{OUTCOME: ""}], "hospital-73", "1 stays, none with a known outcome"),
        ([{}], "ward-73", "no site ward-73"),
        ([{}, {"apachescore": "777"}], "hospital-73", "column apachescore: 1 of 2 rows lie outside"),
        ([{"age": "old"}], "hospital-73", "column age: 1 of 1 rows are not numbers"),
        ([{"age": "nan"}], "hospital-73", "column age: 1 of 1 rows are not numbers"),
        (
            [{OUTCOME: "DISCHARGED"}],
            "hospital-73",
            "column actualhospitalmortality: 1 of 1 rows are none of ALIVE, EXPIRED",
        ),
        ([{"age": "60\n"}], "hospital-73", "do not have"),
    ],
)
def test_what_cannot_be_used_is_refused_with_where_and_how_many_and_never_with_a_value(
    tmp_path: Path, stays: list[dict[str, str]], site: str, message: str
) -> None:
    source = write(tmp_path, *stays)
    with pytest.raises(LocalError, match=message) as caught:
        task.load(DataSource(site, source.folder))
    assert not {"777", "DISCHARGED"} & set(str(caught.value).split())


def test_without_its_folder_file_or_columns_the_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="needs the folder"):
        task.load(DataSource("hospital-73"))
    with pytest.raises(LocalError, match=r"patient\.csv cannot be read"):
        task.load(DataSource("hospital-73", tmp_path))
    (tmp_path / "patient.csv").write_text("hospitalid,age\n73,60\n")
    with pytest.raises(LocalError, match="no column uniquepid, gender"):
        task.load(DataSource("hospital-73", tmp_path))
