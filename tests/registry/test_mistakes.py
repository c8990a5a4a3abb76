"""Every mistake in a plan's text is named, with its place and what to do."""

import tomllib
from typing import Any

import pytest

from registry.plans.draft import draft_of, read_draft
from schemas.errors import LocalError
from tests.registry.plans import SMALLEST, plan, text_of


def test_all_mistakes_of_a_file_are_named_at_once() -> None:
    text = SMALLEST.replace('id = "lung"', "id = 7") + text_of(
        {"trainig": {"epochs": 1}, "training": {"learning_rte": 0.1, "batch": 1.5, "epochs": True}}
    )
    with pytest.raises(LocalError) as caught:
        read_draft(text, where="my.toml")
    message = str(caught.value)
    for part in (
        "my.toml: 5 problems",
        "unknown section [trainig]; did you mean `training`?",
        "unknown key training.learning_rte; did you mean `learning_rate`?",
        "study.id must be a text, got 7 (int)",
        "training.batch must be a whole number, got 1.5 (float)",
        "training.epochs must be a whole number, got True (bool)",
    ):
        assert part in message


OLD = """
[privacy]
clip = 2.0
noise_std = 0.0
trustees = []
examples = true
[aggregation]
epsilon = 0.01
"""


def test_a_text_of_the_old_layout_is_told_where_each_key_stands_now() -> None:
    with pytest.raises(LocalError) as caught:
        read_draft(SMALLEST + OLD)
    assert str(caught.value).splitlines() == [
        "plan.toml: 5 problems",
        "  - privacy.clip has moved: write `clip` in [encoding]",
        "  - privacy.noise_std has moved: write `noise_std` in [noise]",
        "  - privacy.trustees has moved: write `trustees` in [masking]",
        "  - privacy.examples has moved: write `examples` in [aggregation]",
        "  - aggregation.epsilon has moved: write `denominator_floor` in [aggregation]",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[study", "not valid TOML"),
        (SMALLEST.replace("[stop]\nversions = 20", ""), "stop.versions is missing"),
        (SMALLEST.replace('"a", "b"', '"a", "a"'), "members.sites names something twice: a"),
        (SMALLEST.replace('"a", "b"', '"A", "b"'), "members.sites: 'A' is no id"),
        (SMALLEST.replace('id = "lung"', 'id = "Lung 1"'), "study.id: 'Lung 1' is no id"),
        (SMALLEST + "[training]\nlearning_rate = nan\n", "training.learning_rate must be a finite number"),
        ("stop = 3\n" + SMALLEST.replace("[stop]\nversions = 20", ""), "[stop] must be a table"),
    ],
)
def test_a_wrong_text_is_refused_before_the_task_is_run(text: str, reason: str) -> None:
    with pytest.raises(LocalError) as caught:
        read_draft(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("section", "keys", "reason"),
    [
        ("aggregation", {"preset": "fedsgd"}, "aggregation.preset `fedsgd` is none of"),
        ("aggregation", {"goal": 0}, "aggregation.goal: 0 is no integer within 1..1024"),
        ("aggregation", {"deadline_s": -1}, "aggregation.deadline_s must not be negative"),
        ("aggregation", {"staleness": "linear"}, "aggregation.staleness `linear` is none of"),
        ("aggregation", {"slope": 0.5}, "aggregation.slope does not belong to polynomial"),
        ("aggregation", {"staleness_max": 2000}, "aggregation.staleness_max 2000 is not within 0..1024"),
        ("aggregation", {"server_optimiser": "adam"}, "aggregation.server_lr is missing"),
        ("aggregation", {"minimum": 5}, "aggregation needs cohort_max >= goal >= minimum"),
        ("aggregation", {"absence_cap": 0}, "aggregation.absence_cap 0 is not within 1..64"),
        ("aggregation", {"absence_cap": 65}, "aggregation.absence_cap 65 is not within 1..64"),
        ("training", {"epochs": 1, "steps": 1}, "training needs either epochs or steps"),
        ("training", {"optimiser": "lion"}, "training.optimiser `lion` is none of"),
        ("masking", {"trustees": ["t1", "t2"]}, "masking.trustees = ['t1', 't2'] is not built yet"),
        ("encoding", {"clip": 0}, "encoding.clip must be above 0"),
        ("aggregation", {"examples": True}, "aggregation.examples_max is missing"),
        ("encoding", {"scale_bits": 3}, "is too coarse"),
        ("encoding", {"clip": 1e300}, "no scale fits 32 bits"),
        ("storage", {"versions_kept": 1}, "storage.versions_kept: 1 is no integer within 2..1000"),
        ("storage", {"audit_days": 90}, "storage.audit_days 90: the broker keeps updates for 30 days in every study"),
        ("storage", {"audit_days": 0}, "storage.audit_days 0: the broker keeps updates for 30 days in every study"),
        ("evaluation", {"every": 0}, "evaluation.every: 0 is no integer"),
    ],
)
def test_a_plan_that_cannot_work_names_section_and_key(section: str, keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalError) as caught:
        plan(**{section: keys})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("training", "batch_size", "it is called `batch` here"),
        ("training", "optimizer", "it is called `optimiser` here"),
        ("training", "lr", "it is called `learning_rate` here"),
        ("training", "local_epochs", "it is called `epochs` here"),
        ("training", "mu", "it is called `proximal` here"),
        ("training", "num_rounds", "write `versions` in [stop]"),
        ("training", "clip", "write `clip` in [encoding]"),
        ("training", "clip_norm", "write `clip` in [encoding]"),
        ("aggregation", "lr", "it is called `server_lr` here"),
        ("aggregation", "server_optimizer", "it is called `server_optimiser` here"),
        ("aggregation", "buffer_size", "it is called `goal` here"),
        ("stop", "rounds", "it is called `versions` here"),
        ("members", "clients", "it is called `sites` here"),
        ("encoding", "clp", "did you mean `clip`?"),
        ("data", "nonsense", "known: bad_records_max"),
    ],
)
def test_what_others_call_a_key_is_told_its_name_and_its_place(section: str, key: str, hint: str) -> None:
    tables = tomllib.loads(SMALLEST)
    tables.setdefault(section, {})[key] = 1
    with pytest.raises(LocalError) as caught:
        draft_of(tables)
    assert str(caught.value) == f"plan.toml: unknown key {section}.{key}; {hint}"
