"""The sections of a plan, and the bounds of their fields.

Knows:    one frozen value a section, as the newest schema version lays them out.
Never:    holds rules between sections (schemas.plan does).
Used by:  schemas.plan; import from there.
"""

from dataclasses import dataclass
from typing import Annotated

from schemas.codec import (
    COUNT,
    F8,
    FLOAT8,
    ID,
    INTEGER,
    Digest,
    Flag,
    Id,
    Many,
    Maybe,
    Pair,
    Struct,
    Text,
    U,
    Whole,
)
from schemas.staleness import WEIGHT_FULL, WEIGHT_LEAST

SITE_OPTIMISERS = ("sgd", "adam")
SERVER_OPTIMISERS = ("average", "momentum", "adagrad", "yogi", "adam")
PRESETS = ("fedavg", "fedasync", "fedbuff")
COUNTS_KEPT_MAX = 1000
ABSENCE = "absence"  # the auxiliary coordinate that carries for how many versions an update stands; bound: the cap
ABSENCE_CAP_MAX = 64
BAD_RECORDS_MOST = 0.5
METRICS_MAX = 16
METRIC_LENGTH_MAX = 29  # so that `alone-` before it and `-high` behind it still make an id
WEIGHT_MAX = 10.0
ALONE = "alone-"  # before the name of a metric: of the local baseline
USAGE = frozenset({"train-seconds", "bytes-up", "bytes-down", "bytes-data", "n-test", "not-finite"})


def _pair_name(pair: tuple[str, object]) -> str:
    return pair[0]


@dataclass(frozen=True, slots=True)
class TaskSpec(Struct):
    """Which code a study runs at its sites: entry point, SHA-256 of its folder, options."""

    entry: Annotated[str, Text(200)]
    code: Digest
    options: Annotated[tuple[tuple[str, str], ...], Many(Pair((Text(64), Text(200))), 64, key=_pair_name)]


@dataclass(frozen=True, slots=True)
class Training(Struct):
    """How a site trains one update; `epochs` or `steps` is 0, batch 0 is the full batch, proximal is FedProx' mu.

    time_limit_s      training ends after the first step past it, and what was reached is the update
    progress_limit_s  a trainer that takes no step for so long is taken for hung, and ended
    """

    optimiser: Id
    learning_rate: F8
    momentum: F8
    weight_decay: F8
    epochs: U
    steps: U
    batch: U
    proximal: F8
    time_limit_s: U
    progress_limit_s: U


@dataclass(frozen=True, slots=True)
class Aggregation(Struct):
    """When a cohort closes, what an update weighs by staleness, and the server's step."""

    preset: Id
    goal: Annotated[int, Whole(1, 1024)]
    minimum: Annotated[int, Whole(1, 1024)]
    cohort_min: Annotated[int, Whole(1, 1024)]
    cohort_max: Annotated[int, Whole(1, 1024)]
    deadline_ms: U  # 0 = none
    staleness_max: Annotated[int, Whole(0, 1024)]
    weight_table: Annotated[tuple[int, ...], Many(Whole(WEIGHT_LEAST, WEIGHT_FULL), 1025, low=1)]
    server_optimiser: Id
    server_lr: F8
    beta1: F8
    beta2: F8
    epsilon: F8


@dataclass(frozen=True, slots=True)
class Privacy(Struct):
    """Clipping, fixed point, trustees and noise: section 2 of the specification."""

    trustees: Annotated[tuple[str, ...], Many(ID, 3)]
    encoding: Id
    modulus_bits: U
    clip: F8
    clip_inf: F8
    scale_bits: Annotated[int, Whole(-64, 63)]
    auxiliary: Annotated[tuple[tuple[str, float, int], ...], Many(Pair((ID, FLOAT8, INTEGER)), 16)]
    examples: Annotated[str | None, Maybe(ID)]
    examples_max: U  # n_ref, the largest number of examples of any site; 0 when examples do not weigh
    noise_std: F8
    share_max: F8
    cohort_effective_min: F8
    aggregate_interval_s: U
    aggregates_max: Annotated[int | None, Maybe(COUNT)]
    offer_age_max_s: U
    prg: Id
    kem: Annotated[str, Text(40)]


@dataclass(frozen=True, slots=True)
class EvaluationRule(Struct):
    """What sites measure, and what of it may leave: every n-th version, bootstrap samples, local baseline.

    metric      the primary one, by which versions are judged
    weight      id of the value that weighs sites in an overall figure: `n-test`, or comparable pairs
    metrics     every metric that may leave a site, `metric` and `weight` among them; no other name does
    test_min    a site with fewer test patients keeps to itself what it measures
    weight_max  a site weighs at most so many times as much as the site in the middle
    """

    every: Annotated[int, Whole(1, COUNTS_KEPT_MAX)]
    metric: Id
    higher_is_better: Flag
    weight: Id
    bootstrap: Annotated[int, Whole(0, 10_000)]
    alone: Flag
    metrics: Annotated[tuple[str, ...], Many(ID, METRICS_MAX, low=1, key=str)]
    test_min: Annotated[int, Whole(1, 1_000_000)]
    weight_max: F8

    def names(self, metric: str) -> frozenset[str]:
        """The names under which one metric leaves: of a version and of the local baseline, with its interval."""
        return frozenset(before + metric + behind for before in ("", ALONE) for behind in ("", "-low", "-high"))

    @property
    def named(self) -> frozenset[str]:
        """Every name that an Evaluation may hold."""
        return USAGE.union(*(self.names(metric) for metric in self.metrics))


@dataclass(frozen=True, slots=True)
class StopRule(Struct):
    """When a study ends: at `versions`, `patience` versions without progress, at `target`, after `time_s`."""

    versions: Annotated[int, Whole(1, 10_000_000)]
    patience: U  # 0 = none
    target: Annotated[float | None, Maybe(FLOAT8)]
    time_s: U  # 0 = none


@dataclass(frozen=True, slots=True)
class Storage(Struct):
    """What stays on the broker: newest versions, days for audit, and who may audit bodies."""

    versions_kept: Annotated[int, Whole(2, 1000)]
    audit_days: U
    auditors: Annotated[tuple[str, ...], Many(ID, 15, key=str)]


@dataclass(frozen=True, slots=True)
class DataRule(Struct):
    """What a site's data must be like: `bad_records_max` is the share of its records that may break the contract."""

    bad_records_max: F8
