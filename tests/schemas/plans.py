"""A small valid plan, and the same plan with single values changed."""

from dataclasses import replace
from typing import Any

from schemas.plan import (
    Aggregation,
    Clipped,
    DataRule,
    EvaluationRule,
    Masking,
    Noise,
    Plan,
    StopRule,
    Storage,
    TaskSpec,
    Training,
    largest_scale_bits,
)

WEIGHTS = (16, 11, 9, 8, 7, 7, 6, 6, 5, 5, 5, 5, 4)
COHORT_MIN = 3
PLAN = Plan(
    study="demo",
    title="A study of nothing",
    sites_expected=6,
    parameters=100,
    seed=0,
    initial=b"\x0a" * 32,
    task=TaskSpec("studies.demo.task:task", b"\x0b" * 32, (("depth", "2"), ("width", "64"))),
    training=Training("sgd", 0.1, 0.9, 0.0, 1, 0, 32, 0.0, 600, 300),
    aggregation=Aggregation(
        "fedbuff",
        4,
        COHORT_MIN,
        COHORT_MIN,
        10,
        60_000,
        len(WEIGHTS) - 1,
        WEIGHTS,
        None,
        0,
        1,
        "average",
        1.0,
        0.9,
        0.99,
        1e-3,
    ),
    encoding=Clipped(
        modulus_bits=32,
        clip=1.0,
        clip_inf=1.0,
        scale_bits=largest_scale_bits(cohort_max=10, bound=1.0, noise_std=0.0, trustees=0, modulus_bits=32),
        auxiliary=(),
    ),
    masking=Masking(
        trustees=(),
        aggregate_interval_s=0,
        aggregates_max=None,
        offer_age_max_s=60 * 24 * 3600,
        prg="aes-256-ctr",
        kem="MLKEM768_X25519",
    ),
    noise=Noise(0.0),
    evaluation=EvaluationRule(
        every=1,
        metric="accuracy",
        higher_is_better=True,
        weight="n-test",
        bootstrap=200,
        alone=True,
        metrics=("accuracy", "brier", "n-test"),
        test_min=5,
        weight_max=10.0,
    ),
    stop=StopRule(20, 0, None, 0),
    storage=Storage(2, 30, ()),
    data=DataRule(0.0),
)


def changed(**parts: Any) -> Plan:
    """`PLAN` with values replaced: `changed(parameters=5, encoding={"clip": 2.0})`."""
    values = {
        name: replace(getattr(PLAN, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return replace(PLAN, **values)


def with_cohort_min(cohort_min: int, **aggregation: Any) -> Plan:
    """`PLAN` with another `cohort_min`."""
    return changed(aggregation={"cohort_min": cohort_min, **aggregation})
