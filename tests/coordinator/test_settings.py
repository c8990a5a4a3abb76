"""The annotated sample of the coordinator's settings is a settings file that works."""

from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from coordinator.app import tell_unpublished
from coordinator.settings import Settings
from runtime.settings import load_settings
from schemas.errors import LocalError
from schemas.records import PlanRecord
from tests.schemas.plans import PLAN

SAMPLE = Path("coordinator/coordinator.sample.toml")


def test_the_sample_loads_and_names_every_section() -> None:
    settings = load_settings(Settings, SAMPLE, {})
    assert settings.name == "coordinator"
    assert settings.keys.signing.name == "coordinator.sign"
    assert settings.metrics.port == 9464


def test_the_environment_overrides_the_file() -> None:
    settings = load_settings(Settings, SAMPLE, {"WARDROUND_KAFKA_BOOTSTRAP": "kafka:9092"})
    assert settings.kafka.bootstrap == "kafka:9092"


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.toml"
    path.write_text(SAMPLE.read_text().replace("[metrics]", "[metrics]\nprot = 1"))
    with pytest.raises(LocalError, match=r"unknown key `metrics.prot`"):
        load_settings(Settings, path, {})


def test_a_name_that_no_member_can_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.toml"
    path.write_text(SAMPLE.read_text().replace('name = "coordinator"', 'name = "The Coordinator"'))
    with pytest.raises(LocalError, match="`The Coordinator` is no member's name"):
        load_settings(Settings, path, {})


def test_a_study_that_nobody_published_is_named_with_those_that_are() -> None:
    with capture_logs() as lines:
        tell_unpublished(("nix", PLAN.study), [(PLAN, cast(PlanRecord, None))])
    assert [(line["log_level"], line["study"], line["published"]) for line in lines] == [("warning", "nix", ["demo"])]
