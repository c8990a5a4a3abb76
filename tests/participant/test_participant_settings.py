"""Settings and policy: the sample loads, and what cannot work is said before anything starts."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from participant.app import SOFTWARE
from participant.core.approvals import Approvals
from participant.settings import Settings
from participant.settings import Study as StudySettings
from participant.shell.setup import check_fits, options_of
from participant.training.answers import Loaded
from participant.training.launch import Launcher
from runtime.settings import load_settings, parse_settings
from schemas.errors import LocalError
from tests.participant.driving import plan

SAMPLE = Path(__file__).parents[2] / "participant" / "participant.sample.toml"
LOADED = Loaded(parameters=100, metric="accuracy", higher_is_better=True, examples=12, bytes_data=96)


def parsed(**changed: Any) -> Settings:
    table = {
        "name": "site-1", "data_dir": "data", "kafka": {"bootstrap": "localhost:9092"},
        "keys": {"signing": "a", "opening": "b", "registrar": "c"}, **changed,
    }  # fmt: skip
    return parse_settings(Settings, table, {}, where="test", folder=Path())


def test_the_annotated_sample_loads_and_shows_the_defaults() -> None:
    sample = load_settings(Settings, SAMPLE, {})
    assert sample.data_dir == SAMPLE.parent / "data-participant"
    assert sample.policy == parsed().policy
    assert sample.studies[0].task == "studies.lung.task:task"
    assert replace(sample, studies=(), metrics=parsed().metrics).presence_period_s == parsed().presence_period_s


def test_presence_tells_the_version_of_this_software() -> None:
    project = tomllib.loads((SAMPLE.parents[1] / "pyproject.toml").read_text())["project"]
    assert f"{project['name']} {project['version']}" == SOFTWARE


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"studies": [{"plan": "abc"}]}, "no digest"),
        ({"studies": [{"plan": "00" * 32}, {"plan": "00" * 32}]}, "stands twice"),
        ({"policy": {"cohort_min": 0}}, "outside 1..1024"),
        ({"presence_interval_min_s": 0.0}, "presence_interval_min_s"),
        ({"outbox_bytes_max": 0}, "outbox_bytes_max must be above 0"),
        ({"name": "Site 1"}, "`Site 1` is no member's name"),
        ({"name": ""}, "1 to 40 characters"),
        ({"policy": {"cohort_minimum": 3}}, "unknown key"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(LocalError, match=said):
        parsed(**changed)


def test_a_policy_that_no_cohort_of_the_plan_can_satisfy_is_refused() -> None:
    assert Approvals(frozenset(), cohort_min=4).floor(plan()) == 4
    assert Approvals(frozenset(), cohort_min=1).floor(plan()) == plan().aggregation.cohort_min
    with pytest.raises(LocalError, match="closes at 4 updates"):
        Approvals(frozenset(), cohort_min=5).floor(plan())


def test_only_the_very_plan_that_was_named_is_approved() -> None:
    policy = Approvals(frozenset({plan().digest}))
    assert policy.approves(plan())
    assert not policy.approves(plan(title="another title"))


def test_a_site_cannot_change_an_option_of_the_plan() -> None:
    assert options_of(plan(), StudySettings("00" * 32, options={"file": "x"}))["file"] == "x"
    with pytest.raises(LocalError, match="options depth stand in the plan"):
        options_of(plan(), StudySettings("00" * 32, options={"depth": "9"}))


def test_task_and_plan_that_do_not_belong_together_are_refused_before_joining() -> None:
    check_fits(plan(), LOADED)
    with pytest.raises(LocalError, match="99 parameters"):
        check_fits(plan(), replace(LOADED, parameters=99))
    with pytest.raises(LocalError, match="metric auc"):
        check_fits(plan(), replace(LOADED, metric="auc"))
    weighted = plan(
        encoding={"auxiliary": (("weight", 1.0, 20),)}, aggregation={"examples": "weight", "examples_max": 10}
    )
    with pytest.raises(LocalError, match="no training patients"):
        check_fits(weighted, replace(LOADED, examples=0))


def test_a_socket_path_that_the_kernel_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="longer than"):
        Launcher(tmp_path / ("x" * 120), [])
