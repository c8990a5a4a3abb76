"""Which version is exported, what its header says, and that the file holds the announced version and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.history import StudyHistory
from audit.models import best_version, choose, export_version, header_of, kept
from learning.entry import folder_digest
from learning.model_file import ModelHeader, read_model
from protocol.digests import digest_of
from schemas.errors import LocalError
from schemas.records import OpenEvaluation
from tests.wardround import synthetic

SITES = {"north": "", "south": "", "west": ""}
SMALL = "tests.wardround.tasks.small:task"


def history(values: dict[int, dict[str, float]], *, higher: bool = True, kept_versions: int = 1000) -> StudyHistory:
    """A study of which each version was measured by the sites that are named, each with ten test patients."""
    plan = synthetic.plan(versions=100)
    plan = replace(
        plan,
        evaluation=replace(plan.evaluation, higher_is_better=higher, weight="n-test", metrics=("c-index", "n-test")),
        storage=replace(plan.storage, versions_kept=kept_versions),
    )
    grown = StudyHistory(plan, plan.digest, SITES)
    for version in range(max(values) + 1):
        grown.feed(synthetic.announcement(version, version, closes=False), version)
    for version, measured in values.items():
        for site, value in measured.items():
            numbers = (("c-index", round(value * 1e6)), ("n-test", 10_000_000))
            grown.feed(OpenEvaluation(plan.study, site, version, bytes(32), numbers), 1000 + version)
    return grown


def test_the_newest_version_is_exported_unless_another_is_named() -> None:
    grown = history({0: {"north": 0.5}, 4: {"north": 0.6}})
    assert choose(grown, None, best=False) == (4, ())
    assert choose(grown, 2, best=False) == (2, ())
    with pytest.raises(LocalError, match="both"):
        choose(grown, 2, best=True)
    with pytest.raises(LocalError, match="has no version 9"):
        header_of(grown, 9)


def test_a_study_without_a_version_is_said_to_have_none() -> None:
    grown = history({0: {}})
    grown.versions.clear()
    with pytest.raises(LocalError, match="has no version yet"):
        header_of(grown, -1)


@pytest.mark.parametrize(("higher", "wanted"), [(True, 2), (False, 1)])
def test_the_best_version_is_the_one_with_the_best_mean_of_those_that_enough_sites_measured(
    higher: bool, wanted: int
) -> None:
    everybody = ("north", "south", "west")
    grown = history(
        {
            0: dict.fromkeys(everybody, 0.6),
            1: dict.fromkeys(everybody, 0.5),
            2: dict.fromkeys(everybody, 0.8),
            3: {"north": 0.99 if higher else 0.01},
            4: dict.fromkeys(everybody, 0.7),
        },
        higher=higher,
    )
    assert choose(grown, None, best=True) == (wanted, ())


def test_of_equally_good_versions_the_newer_one_is_taken() -> None:
    assert choose(history({1: {"north": 0.8}, 2: {"north": 0.8}}), None, best=True)[0] == 2


def test_a_better_version_that_is_no_longer_kept_is_said() -> None:
    grown = history({1: {"north": 0.9}, 6: {"north": 0.7}, 7: {"north": 0.6}}, kept_versions=2)
    assert list(kept(grown)) == [6, 7]
    number, remarks = choose(grown, None, best=True)
    assert number == 6
    assert "version 1 was better (0.9)" in remarks[0]


def test_without_a_measured_version_that_is_kept_there_is_no_best_one() -> None:
    with pytest.raises(LocalError, match="half of its sites") as refused:
        best_version(history({1: {"north": 0.9}, 7: {}}, kept_versions=2))
    assert "--version" in refused.value.hint


def test_the_header_names_the_sites_that_were_counted_up_to_the_version() -> None:
    grown = synthetic.history()
    early, late = header_of(grown, 1), header_of(grown, 20)
    assert "site-6" not in early.sites
    assert late.sites == tuple(f"site-{number}" for number in range(1, 7))
    assert (late.judged_by, late.metric, late.study) == (6, "c-index", "lung")
    assert late.value is not None
    assert header_of(grown, 0).sites == ()


def header_of_small(vector: np.ndarray, code: bytes) -> ModelHeader:
    found = header_of(synthetic.history(), 3)
    return replace(found, task=SMALL, code=code.hex(), parameters=3, model=digest_of([vector.tobytes()]).hex())


def test_a_version_is_written_by_its_tasks_names(tmp_path: Path) -> None:
    vector = np.array([1, 2, 3], np.float32)
    header = header_of_small(vector, folder_digest(Path(__file__).parents[1] / "wardround" / "tasks"))
    exported = export_version(tmp_path / "m.safetensors", vector, header, None, ("a remark",))
    assert exported.remarks == ("a remark",)
    read, state = read_model(exported.path)
    assert read == header
    np.testing.assert_array_equal(state["parameters"], vector)


def test_nothing_is_written_with_another_task_or_other_bytes_than_announced(tmp_path: Path) -> None:
    vector = np.array([1, 2, 3], np.float32)
    path = tmp_path / "m.safetensors"
    with pytest.raises(LocalError, match="digest"):
        export_version(path, vector, header_of_small(vector, bytes(32)), None, ())
    header = header_of_small(vector, folder_digest(Path(__file__).parents[1] / "wardround" / "tasks"))
    with pytest.raises(LocalError, match="does not hold the model"):
        export_version(path, vector + 1, header, None, ())
    assert not path.exists()
