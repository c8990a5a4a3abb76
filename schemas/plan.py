"""The plan: everything about a study that all roles must agree on, as one record known by its digest.

Knows:    the fields, and the rules between them that every role applies when it loads a plan.
Never:    guesses a default (registry.plans.draft does, for the author).
Source:   secure aggregation specification, section 2 (bounds, headroom, weights).
"""

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from schemas.codec import Codec, Digest, Id, Nested, Record, Text, U, Whole
from schemas.plan_sections import (
    ABSENCE,
    ABSENCE_CAP_MAX,
    ALONE,
    BAD_RECORDS_MOST,
    METRIC_LENGTH_MAX,
    PRESETS,
    SERVER_OPTIMISERS,
    SITE_OPTIMISERS,
    USAGE,
    WEIGHT_MAX,
    Aggregation,
    DataRule,
    EvaluationRule,
    Privacy,
    StopRule,
    Storage,
    TaskSpec,
    Training,
)
from schemas.plan_version_2 import OldEvaluation, OldStop
from schemas.records import PLAN_BYTES_MAX
from schemas.staleness import WEIGHT_FULL

__all__ = [
    "ABSENCE",
    "ABSENCE_CAP_MAX",
    "ALONE",
    "PRESETS",
    "SERVER_OPTIMISERS",
    "USAGE",
    "WEIGHT_MAX",
    "Aggregation",
    "DataRule",
    "EvaluationRule",
    "Plan",
    "PlanOfVersion2",
    "Privacy",
    "StopRule",
    "Storage",
    "TaskSpec",
    "Training",
    "cohort_effective_min",
    "headroom",
    "largest_scale_bits",
    "plan_of",
    "share_max",
]


@dataclass(frozen=True, slots=True)
class Plan(Record):
    """One study, whole. Its digest names it for ever; a changed plan is a new study."""

    KIND: ClassVar[int] = 32
    VERSION: ClassVar[int] = 3
    SIZE_MAX: ClassVar[int] = PLAN_BYTES_MAX
    study: Id
    title: Annotated[str, Text(120)]
    sites_expected: Annotated[int, Whole(1, 4096)]
    parameters: Annotated[int, Whole(1, 2**29)]
    seed: U
    initial: Digest  # body digest of version 0, float32 little-endian
    task: Annotated[TaskSpec, Nested(TaskSpec)]
    training: Annotated[Training, Nested(Training)]
    aggregation: Annotated[Aggregation, Nested(Aggregation)]
    privacy: Annotated[Privacy, Nested(Privacy)]
    evaluation: Annotated[EvaluationRule, Nested(EvaluationRule)]
    stop: Annotated[StopRule, Nested(StopRule)]
    storage: Annotated[Storage, Nested(Storage)]
    data: Annotated[DataRule, Nested(DataRule)]

    def check(self) -> None:
        problems = [
            *_not_built(self),
            *_training(self),
            *_data(self),
            *_evaluation(self),
            *_gathering(self),
            *_weights(self),
            *_absence(self),
            *_fixed_point(self),
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def d(self) -> int:
        """Coordinates of an update: parameters and auxiliary ones."""
        return self.parameters + len(self.privacy.auxiliary)

    @property
    def body_bytes(self) -> int:
        """Bytes of one update's body, before sealing."""
        return self.d * self.privacy.modulus_bits // 8

    @property
    def absence_cap(self) -> int:
        """How many times as much the update of a site may count that was long not heard; 1: absence does not weigh."""
        return next((int(bound) for name, bound, _ in self.privacy.auxiliary if name == ABSENCE), 1)

    def weight(self, staleness: int) -> int | None:
        """The weight in 16ths of an update that is `staleness` versions behind; None when it is refused."""
        return self.aggregation.weight_table[staleness] if 0 <= staleness <= self.aggregation.staleness_max else None


class PlanOfVersion2(Plan):
    """A plan as it was signed before version 3; it stays what it was, to the byte."""

    __slots__ = ()
    VERSION: ClassVar[int] = 2
    OLDER: ClassVar[dict[int, type[Record]]] = {}

    @classmethod
    def _fields(cls) -> tuple[tuple[str, Codec], ...]:
        old: dict[str, Codec] = {"evaluation": OldEvaluation(), "stop": OldStop()}
        return tuple((name, old.get(name, codec)) for name, codec in Plan._fields())


Plan.OLDER = {PlanOfVersion2.VERSION: PlanOfVersion2}


def headroom(
    *, cohort_max: int, scale: float, bound: float, noise_std: float, trustees: int, modulus_bits: int
) -> bool:
    """Whether the largest legal weighted sum of one coordinate stays below half the modulus."""
    largest = 16 * cohort_max * (scale * bound + 1) + 8 * noise_std * math.sqrt(trustees)
    return largest < 2.0 ** (modulus_bits - 1)


def largest_scale_bits(*, cohort_max: int, bound: float, noise_std: float, trustees: int, modulus_bits: int) -> int:
    """The largest f so that scale 2**f passes the headroom check. Raises ValueError when none does."""
    for bits in range(modulus_bits - 1, -65, -1):
        if headroom(
            cohort_max=cohort_max,
            scale=2.0**bits,
            bound=bound,
            noise_std=noise_std,
            trustees=trustees,
            modulus_bits=modulus_bits,
        ):
            return bits
    raise ValueError(f"no scale fits {modulus_bits} bits with cohorts of {cohort_max} and bound {bound:g}")


def share_max(cohort_min: int) -> float:
    return 4 / (cohort_min + 3)


def cohort_effective_min(cohort_min: int) -> float:
    return 0.6 * cohort_min


def _not_built(plan: Plan) -> list[str]:
    privacy = plan.privacy
    wanted = {
        "privacy.trustees": (list(privacy.trustees), []),
        "privacy.encoding": (privacy.encoding, "clipped"),
        "privacy.modulus_bits": (privacy.modulus_bits, 32),
        "privacy.noise_std": (privacy.noise_std, 0.0),
        "privacy.prg": (privacy.prg, "aes-256-ctr"),
        "privacy.kem": (privacy.kem, "MLKEM768_X25519"),
        "privacy.aggregate_interval_s": (privacy.aggregate_interval_s, 0),
    }
    return [
        f"{name} = {value!r} is not built yet: this software runs {only!r}"
        for name, (value, only) in wanted.items()
        if value != only
    ]


def _training(plan: Plan) -> list[str]:
    training, found = plan.training, []
    if training.optimiser not in SITE_OPTIMISERS:
        found.append(f"training.optimiser `{training.optimiser}` is none of {', '.join(SITE_OPTIMISERS)}")
    if (training.epochs == 0) == (training.steps == 0):
        found.append("training needs either epochs or steps above 0, not both")
    if training.learning_rate <= 0:
        found.append("training.learning_rate must be above 0")
    if not 0 <= training.momentum < 1 or training.weight_decay < 0 or training.proximal < 0:
        found.append("training.momentum must lie in 0..1, weight_decay and proximal must not be negative")
    if training.time_limit_s == 0:
        found.append("training.time_limit_s must be above 0: a trainer without a limit can hang for ever")
    elif not 0 < training.progress_limit_s <= training.time_limit_s:
        found.append(
            f"training.progress_limit_s must lie in 1..time_limit_s ({training.time_limit_s}): a trainer that takes no "
            "step for so long is ended"
        )
    return found


def _data(plan: Plan) -> list[str]:
    if 0 <= plan.data.bad_records_max <= BAD_RECORDS_MOST:
        return []
    return [f"data.bad_records_max must lie in 0..{BAD_RECORDS_MOST:g}: with more, the data have to be looked at"]


def _evaluation(plan: Plan) -> list[str]:
    rule, found = plan.evaluation, []
    if not {rule.metric, rule.weight} <= set(rule.metrics):
        found.append(f"evaluation.metrics must name {rule.metric} and {rule.weight}, by which versions are judged")
    for name in rule.metrics if plan.VERSION > 2 else ():
        if name.startswith(ALONE) or name.endswith(("-low", "-high")):
            found.append(f"evaluation.metrics: `{name}` would be taken for a baseline or a bound of another metric")
        if len(name) > METRIC_LENGTH_MAX:
            found.append(f"evaluation.metrics: `{name}` is longer than {METRIC_LENGTH_MAX} characters")
    if rule.weight_max < 1:
        found.append("evaluation.weight_max must be 1 or more: how many times the site in the middle one may weigh")
    return found


def _gathering(plan: Plan) -> list[str]:
    rule, found = plan.aggregation, []
    if rule.preset not in PRESETS:
        found.append(f"aggregation.preset `{rule.preset}` is none of {', '.join(PRESETS)}")
    if not rule.cohort_max >= rule.goal >= rule.minimum >= rule.cohort_min:
        found.append(
            f"aggregation needs cohort_max >= goal >= minimum >= cohort_min, got "
            f"{rule.cohort_max}, {rule.goal}, {rule.minimum}, {rule.cohort_min}"
        )
    if rule.minimum < rule.goal and rule.deadline_ms == 0:
        found.append("aggregation.minimum below goal needs a deadline_s: without one only the goal closes a cohort")
    if plan.privacy.trustees and rule.cohort_min < 3:
        found.append("masked plans need cohorts of 3 or more: use FedBuff")
    if rule.cohort_min > plan.sites_expected:
        found.append(f"aggregation.cohort_min {rule.cohort_min} is above the {plan.sites_expected} sites of the study")
    if rule.server_optimiser not in SERVER_OPTIMISERS:
        found.append(
            f"aggregation.server_optimiser `{rule.server_optimiser}` is none of {', '.join(SERVER_OPTIMISERS)}"
        )
    if rule.server_lr <= 0 or not (0 <= rule.beta1 < 1 and 0 <= rule.beta2 < 1) or rule.epsilon <= 0:
        found.append("aggregation.server_lr and epsilon must be above 0, beta1 and beta2 in 0..1")
    if rule.server_optimiser in ("yogi", "adam") and plan.parameters > 2**28:
        found.append(f"{rule.server_optimiser} keeps two vectors: at most {2**28} parameters")
    if plan.privacy.aggregates_max is not None and plan.privacy.aggregates_max < plan.stop.versions:
        found.append("privacy.aggregates_max is below stop.versions: the study could not reach its end")
    return found


def _weights(plan: Plan) -> list[str]:
    rule, found = plan.aggregation, []
    weights = rule.weight_table
    if len(weights) != rule.staleness_max + 1:
        found.append(f"aggregation.weight_table has {len(weights)} weights for staleness 0..{rule.staleness_max}")
    if weights[0] != WEIGHT_FULL or any(later > earlier for earlier, later in pairwise(weights)):
        found.append("aggregation.weight_table must begin with 16 and never rise")
    if plan.privacy.share_max != share_max(rule.cohort_min):
        found.append("privacy.share_max must be 4/(cohort_min + 3)")
    if plan.privacy.cohort_effective_min != cohort_effective_min(rule.cohort_min):
        found.append("privacy.cohort_effective_min must be 0.6 * cohort_min")
    return found


def _absence(plan: Plan) -> list[str]:
    """What weighing by absence contradicts."""
    bounds, found = [bound for name, bound, _ in plan.privacy.auxiliary if name == ABSENCE], []
    if any(bound != int(bound) or not 2 <= bound <= ABSENCE_CAP_MAX for bound in bounds):
        found.append(f"aggregation.absence_cap must be a whole number within 2..{ABSENCE_CAP_MAX} (1: off)")
    if bounds and plan.privacy.trustees:
        found.append(
            "aggregation.absence_cap lets one site outweigh its cohort where trustees cannot see it: not with masking; "
            "leave it out, or plan deadlines within which all are heard"
        )
    return found


def _fixed_point(plan: Plan) -> list[str]:
    privacy, found = plan.privacy, []
    if not (privacy.clip > 0 and 0 < privacy.clip_inf <= privacy.clip):
        return ["privacy.clip must be above 0, and clip_inf within 0..clip"]
    if privacy.modulus_bits not in (32, 64):
        return ["privacy.modulus_bits must be 32 or 64"]
    coordinates = [("update", privacy.clip_inf, privacy.scale_bits), *privacy.auxiliary]
    for name, bound, bits in coordinates:
        if bound <= 0 or not -64 <= bits <= 63:
            found.append(f"privacy.auxiliary `{name}` needs a bound above 0 and scale bits within -64..63")
        elif not headroom(
            cohort_max=plan.aggregation.cohort_max,
            scale=2.0**bits,
            bound=bound,
            noise_std=privacy.noise_std,
            trustees=len(privacy.trustees),
            modulus_bits=privacy.modulus_bits,
        ):
            found.append(
                f"no headroom for `{name}`: scale 2^{bits} with bound {bound:g} and cohorts of "
                f"{plan.aggregation.cohort_max} overflows {privacy.modulus_bits} bits; lower scale_bits"
            )
    if 2.0**privacy.scale_bits < 50 * math.sqrt(plan.parameters) / privacy.clip:
        found.append(
            f"scale 2^{privacy.scale_bits} is too coarse for {plan.parameters} parameters and clip {privacy.clip:g}: "
            "rounding would cost more than 1 % of the clip; raise clip, or lower cohort_max"
        )
    if plan.d > 2**29:
        found.append(f"{plan.d} coordinates with the auxiliary ones; a body holds at most {2**29}")
    named = [name for name, _, _ in privacy.auxiliary]
    if len(set(named)) != len(named) or (privacy.examples is not None and privacy.examples not in named):
        found.append("privacy.auxiliary names must differ, and examples must be one of them")
    if (privacy.examples is None) != (privacy.examples_max == 0):
        found.append("privacy.examples and examples_max go together")
    return found


def plan_of(payload: bytes) -> Plan:
    """Read and check a plan's bytes, of this schema version or the one before.

    Raises PeerError with every reason for which it is refused.
    """
    return Plan.from_bytes(payload)
