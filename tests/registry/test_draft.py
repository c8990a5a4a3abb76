"""A plan as its author writes it: defaults, presets, every mistake named, and golden bytes."""

import hashlib
import pickle
import re
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plans.draft import TaskFacts, draft_of, plan_from_toml, read_draft
from registry.plans.forms import PLAN_FORM
from registry.plans.meaning import meaning
from registry.plans.template import plan_template
from registry.plans.words import off_of, warnings_of
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan, StopRule, plan_of
from tests.vectors import load

FACTS = TaskFacts(parameters=7, code=b"\x0b" * 32, initial=b"\x0a" * 32, metric="c-index", higher_is_better=True)
SMALLEST = """
[study]
id = "lung"
[members]
sites = ["a", "b", "c", "d", "e", "f"]
[task]
entry = "studies.lung.task:task"
[stop]
versions = 20
"""
# The plan of SMALLEST in schema versions 2, 3 and 4, laid out by hand: tests/vectors/make_plans.py.
GOLDEN_2, GOLDEN_3, GOLDEN = (bytes.fromhex(one["payload"]) for one in load("plans")["plans"])
DIGEST_3 = "7333a2cd202bc526b0609df9cbdf8913ba9a4dc77734eb72be50d8cb455d615a"
DIGEST_2 = "b8c7d097d2c319f66597e804a8d9f72a8688c02592d4894bbaf4c89d4618f135"


def plan(**tables: dict[str, Any]) -> Plan:
    """SMALLEST with keys of sections added: `plan(training={"steps": 3})`."""
    return plan_from_toml(SMALLEST + text_of(tables), FACTS)


def text_of(tables: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in table.items()]
    return "\n".join(lines)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_the_smallest_plan_has_these_bytes_and_this_digest() -> None:
    made = plan()
    assert made.to_bytes().hex() == GOLDEN.hex()
    assert made.digest == hashlib.sha256(GOLDEN).digest()
    assert plan_of(GOLDEN) == made


def test_a_plan_of_version_3_is_read_and_keeps_its_bytes_and_its_digest() -> None:
    old = plan_of(GOLDEN_3)
    assert old.to_bytes() == GOLDEN_3
    assert old.digest.hex() == hashlib.sha256(GOLDEN_3).hexdigest() == DIGEST_3
    assert pickle.loads(pickle.dumps(old)).digest == old.digest
    assert old.sections == plan_of(GOLDEN).sections
    assert replace(old, seed=0).to_bytes() == GOLDEN_3


@pytest.mark.parametrize(
    ("was", "instead", "reason"),
    [
        ("a7636c6970706564", "a56578616374", "'exact' is not built yet"),
        ("c4083fe5555555555555", "c4083fe0000000000000", "share_max must be"),
        ("c4083ffccccccccccccc", "c4083fe0000000000000", "cohort_effective_min must be"),
        ("1890c000", "189193a7616273656e6365c408400400000000000010c000", "whole bound within 2..64"),
    ],
)
def test_a_plan_of_version_3_is_held_to_its_own_rules(was: str, instead: str, reason: str) -> None:
    assert was in GOLDEN_3.hex()
    with pytest.raises(PeerError, match=re.escape(reason)):
        plan_of(bytes.fromhex(GOLDEN_3.hex().replace(was, instead)))


def test_a_plan_of_version_3_says_in_its_coordinates_what_weighs() -> None:
    carried = "92" + "93a7616273656e6365c408401000000000000015" + "93a8 6578616d706c6573 c4083ff0000000000000 18"
    wire = GOLDEN_3.hex().replace("1890c000", f"18{carried}a86578616d706c657364".replace(" ", ""))
    old = plan_of(bytes.fromhex(wire))
    assert (old.aggregation.absence_cap, old.aggregation.examples, old.aggregation.examples_max) == (4, "examples", 100)
    assert old.to_bytes().hex() == wire


def test_a_plan_of_version_2_is_read_and_keeps_its_bytes_and_its_digest() -> None:
    old = plan_of(GOLDEN_2)
    assert old.to_bytes() == GOLDEN_2
    assert old.digest.hex() == hashlib.sha256(GOLDEN_2).hexdigest() == DIGEST_2
    assert pickle.loads(pickle.dumps(old)).digest == old.digest
    assert (old.evaluation.metrics, old.evaluation.test_min) == (("c-index", "n-test"), 1)
    assert bytes.fromhex("94 14 00 ce000cf850 00") in replace(old, stop=StopRule(20, 0, 0.85, 0)).to_bytes()


def test_a_plan_of_version_2_cannot_say_what_only_version_3_can() -> None:
    old = plan_of(GOLDEN_2)
    with pytest.raises(ValueError, match="cannot say"):
        replace(old, evaluation=replace(old.evaluation, test_min=9))


def test_the_metrics_that_may_leave_are_those_it_judges_by_and_those_its_author_adds() -> None:
    assert plan().evaluation.metrics == ("c-index", "n-test")
    assert plan(evaluation={"metrics": ["brier"]}).evaluation.metrics == ("brier", "c-index", "n-test")
    with pytest.raises(LocalError, match=r"evaluation\.metrics: 'AUC' is no id"):
        plan(evaluation={"metrics": ["AUC"]})


def test_a_target_beyond_63_bits_of_millionths_is_a_target() -> None:
    assert plan_from_toml(SMALLEST + "target = 2.4e22", FACTS).stop.target == 2.4e22


@pytest.mark.parametrize(
    ("preset", "goal", "minimum", "deadline_ms", "weights"),
    [
        ("fedavg", 6, 3, 600_000, (16, 16, 16, 16)),
        ("fedbuff", 4, 3, 600_000, (16, 11, 9, 8)),
        ("fedasync", 1, 1, 0, (16, 11, 9, 8)),
    ],
)
def test_a_preset_sets_goal_minimum_deadline_and_table_together(
    preset: str, goal: int, minimum: int, deadline_ms: int, weights: tuple[int, ...]
) -> None:
    rule = plan(aggregation={"preset": preset}).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_min, rule.cohort_max) == (goal, minimum, minimum, goal)
    assert rule.deadline_ms == deadline_ms
    assert rule.weight_table[:4] == weights


def test_what_the_author_says_goes_before_the_preset() -> None:
    chosen = {"preset": "fedavg", "goal": 5, "deadline_s": 1.5, "staleness": "hinge", "late_from": 1, "slope": 1}
    rule = plan(aggregation=chosen).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_max, rule.deadline_ms) == (5, 3, 5, 1500)
    assert rule.weight_table[:4] == (16, 16, 8, 5)


def test_a_smaller_goal_takes_minimum_and_floor_along() -> None:
    rule = plan(aggregation={"goal": 2}).aggregation
    assert (rule.goal, rule.minimum, rule.cohort_min, rule.deadline_ms) == (2, 2, 2, 0)


def test_a_large_model_may_move_one_coordinate_by_an_eighth_of_the_clip() -> None:
    large = plan_from_toml(SMALLEST, TaskFacts(4097, b"\x0b" * 32, b"\x0a" * 32, "c-index", True))
    assert (large.encoding.clip_inf, large.encoding.scale_bits) == (0.125, 27)


def test_steps_replace_epochs() -> None:
    assert (plan(training={"steps": 3}).training.steps, plan(training={"steps": 3}).training.epochs) == (3, 0)


def test_absence_becomes_an_auxiliary_coordinate_and_the_largest_share_grows() -> None:
    made = plan(aggregation={"absence_cap": 8})
    assert made.encoding.auxiliary == (("absence", 8.0, 21),)
    assert (made.aggregation.examples, made.aggregation.absence_cap) == (None, 8)
    assert plan(aggregation={"absence_cap": 1}) == plan()
    assert meaning(made, 600.0).share_most == pytest.approx(32 / 34)  # eight times fresh beside two that are stale


def test_where_absence_weighs_the_servers_rate_makes_up_for_the_cap() -> None:
    """Updates travel divided by 8, and 4 of 6 sites are in a cohort."""
    assert plan(aggregation={"absence_cap": 8, "server_lr": 0.5}).aggregation.server_lr == 0.5 * 8 * 4 / 6
    adam = {"absence_cap": 8, "server_lr": 0.5, "server_optimiser": "adam"}
    assert plan(aggregation=adam).aggregation.server_lr == 0.5


def test_examples_become_an_auxiliary_coordinate() -> None:
    weighed = plan(aggregation={"examples": True, "examples_max": 100})
    assert weighed.encoding.auxiliary == (("examples", 1.0, 24),)
    rule = weighed.aggregation
    assert (rule.examples, rule.examples_max) == ("examples", 100)


def test_a_target_is_kept_in_millionths_and_options_are_sorted() -> None:
    text = SMALLEST.replace("versions = 20", "versions = 20\ntarget = 0.85") + '[task.options]\nz = "1"\na = "2"\n'
    made = plan_from_toml(text, FACTS)
    assert made.stop.target == 0.85
    assert made.task.options == (("a", "2"), ("z", "1"))


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


@given(
    sites=st.integers(1, 200),
    preset=st.sampled_from(["fedavg", "fedasync", "fedbuff"]),
    p=st.integers(1, 10**6),
)
def test_every_preset_fits_any_number_of_sites(sites: int, preset: str, p: int) -> None:
    names = [f"site-{i}" for i in range(sites)]
    text = SMALLEST.replace('["a", "b", "c", "d", "e", "f"]', toml(names)) + text_of(
        {"aggregation": {"preset": preset}}
    )
    made = plan_from_toml(text, TaskFacts(p, b"\x0b" * 32, b"\x0a" * 32, "accuracy", True))
    assert made.aggregation.goal <= made.sites_expected


def test_a_plan_is_explained_in_days_and_bytes() -> None:
    means = meaning(plan(), 1800.0)
    assert means.absence_s == 20 * 1800  # its table reaches further than the study
    assert means.duration_s == 20 * 1800
    assert means.up_bytes == 20 * (28 + 100 + 2500)  # 20 versions end within the day
    assert means.disk_bytes == 6 * 20 * (28 + 100 + 2500) + 11 * (28 + 100)
    assert means.share_most == pytest.approx(2 / 3)
    assert [text.split(":")[0] for text in off_of(plan())] == ["no masking", "no noise", "no auditor"]
    assert warnings_of(plan(), 1800.0) == []


@pytest.mark.parametrize(
    ("sections", "round_s", "warning"),
    [
        ({"aggregation": {"goal": 8, "minimum": 3, "cohort_min": 3}}, 600.0, "goal 8 is above the 6 sites"),
        ({"aggregation": {"goal": 6, "minimum": 6}}, 600.0, "every version waits for all 6 sites"),
        ({"aggregation": {"goal": 2}}, 600.0, "cohorts of two"),
        ({"aggregation": {"staleness_max": 2}}, 36_000.0, "a site that is away for a day loses"),
        ({"aggregation": {"deadline_s": 10}}, 600.0, "the deadline of 10 s is short"),
    ],
)
def test_what_deserves_a_second_look_is_said(sections: dict[str, Any], round_s: float, warning: str) -> None:
    assert any(warning in text for text in warnings_of(plan(**sections), round_s))


def test_a_plan_signed_with_more_days_of_audit_than_the_broker_keeps_is_told_so() -> None:
    signed = plan()
    asked = replace(signed, storage=replace(signed.storage, audit_days=90))
    assert any("audit_days 90: the broker keeps updates for 30 days" in text for text in warnings_of(asked, 600.0))


def test_no_absence_is_longer_than_the_study() -> None:
    assert meaning(plan(aggregation={"staleness_max": 3}), 600.0).absence_s == 3 * 600
    short = plan()
    short = replace(short, stop=replace(short.stop, time_s=900))
    assert meaning(short, 600.0).absence_s == 900


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


def test_no_section_calls_two_keys_the_same_and_no_key_by_anothers_name() -> None:
    for form in PLAN_FORM.forms:
        called = [name for key in form.keys.values() for name in key.also]
        assert len(set(called)) == len(called)
        assert not set(called) & set(form.keys)


def test_every_field_of_a_section_is_a_key_or_follows_from_one() -> None:
    """What no author can write, and where it comes from."""
    follows = {
        "task": {"code"}, "evaluation": {"metric", "higher_is_better", "weight"}, "aggregation": {"weight_table"},
        "encoding": {"auxiliary"},
    }  # fmt: skip
    for form in PLAN_FORM.forms:
        if form.record is not None:
            fields = {name for name, _ in form.record._fields()}
            assert fields - {key.field or name for name, key in form.keys.items()} == follows.get(form.name, set())


@pytest.mark.parametrize("sites", [1, 2, 3, 6, 50, 1000])
@pytest.mark.parametrize("parameters", [1, 4096, 4097, 10_000_000, 2**28])
def test_what_plan_init_writes_is_a_plan_and_shows_its_defaults(sites: int, parameters: int) -> None:
    names = [f"site-{number}" for number in range(sites)]
    text = plan_template(
        study="lung", entry="studies.lung.task:task", sites=names, parameters=parameters, metric="auc",
        weight="n-test", higher_is_better=True,
    )  # fmt: skip
    made = plan_from_toml(text, TaskFacts(parameters, b"\x0b" * 32, b"\x0a" * 32, "auc", True))
    assert f"# goal = {made.aggregation.goal} " in text
    assert f"# scale_bits = {made.encoding.scale_bits} " in text
