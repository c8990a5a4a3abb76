"""How a plan was laid out in schema version 3, which lies on logs and in signed files: it keeps its bytes.

Knows:    encoding, masks and noise stood in one section, `privacy`; example weights and absence in its coordinates; two
          values that follow from `cohort_min` were written out.
Source:   docs/decisions/0053-a-plan-by-section.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from schemas.codec import COUNT, F8, FLOAT8, ID, INTEGER, Digest, Id, Many, Maybe, Nested, Pair, Record, Text, U, Whole
from schemas.plan.aggregation import ABSENCE_CAP_MAX, STALENESS_MOST, Aggregation, Updates
from schemas.plan.between import COORDINATES_MAX
from schemas.plan.data import DataRule
from schemas.plan.encoding import ABSENCE, ENCODINGS, SCALE_BITS_LEAST, SCALE_BITS_MOST, Clipped
from schemas.plan.evaluation import EvaluationRule
from schemas.plan.masking import Masking
from schemas.plan.noise import Noise
from schemas.plan.record import Plan
from schemas.plan.section import Section
from schemas.plan.stop import StopRule
from schemas.plan.storage import Storage
from schemas.plan.task import TaskSpec
from schemas.plan.training import Training
from schemas.records import MEMBERS_MAX, TRUSTEES_MAX
from schemas.staleness import WEIGHT_FULL, WEIGHT_LEAST

_KEPT = (
    "study", "title", "sites_expected", "parameters", "seed", "initial", "task", "training", "evaluation", "stop",
    "storage", "data",
)  # fmt: skip


def share_max(cohort_min: int) -> float:
    """The largest part of a sum that may be one site's, where weights lie in 4..16."""
    return 4 / (cohort_min + 3)


def cohort_effective_min(cohort_min: int) -> float:
    """The least effective number of sites (Kish) of a cohort with weights in 4..16."""
    return 0.6 * cohort_min


@dataclass(frozen=True, slots=True)
class OldAggregation(Section):
    """As Aggregation, without what weighs but staleness; `epsilon` is `denominator_floor`."""

    preset: Id
    goal: Updates
    minimum: Updates
    cohort_min: Updates
    cohort_max: Updates
    deadline_ms: U
    staleness_max: Annotated[int, Whole(0, STALENESS_MOST)]
    weight_table: Annotated[tuple[int, ...], Many(Whole(WEIGHT_LEAST, WEIGHT_FULL), STALENESS_MOST + 1, low=1)]
    server_optimiser: Id
    server_lr: F8
    beta1: F8
    beta2: F8
    epsilon: F8  #: `denominator_floor` of today


@dataclass(frozen=True, slots=True)
class OldPrivacy(Section):
    """Encoding, masking and noise, and how updates weigh by examples."""

    trustees: Annotated[tuple[str, ...], Many(ID, TRUSTEES_MAX)]
    encoding: Id  #: `clipped`: the tag of the encoding
    modulus_bits: U
    clip: F8
    clip_inf: F8
    scale_bits: Annotated[int, Whole(SCALE_BITS_LEAST, SCALE_BITS_MOST)]
    auxiliary: Annotated[tuple[tuple[str, float, int], ...], Many(Pair((ID, FLOAT8, INTEGER)), 16)]
    examples: Annotated[str | None, Maybe(ID)]
    examples_max: U
    noise_std: F8
    share_max: F8  #: exactly 4/(cohort_min + 3): the largest part of a sum that can be one site's
    cohort_effective_min: F8  #: exactly 0.6 * cohort_min: the least effective number of sites
    aggregate_interval_s: U
    aggregates_max: Annotated[int | None, Maybe(COUNT)]
    offer_age_max_s: U
    prg: Id
    kem: Annotated[str, Text(40)]

    def check(self) -> None:
        if self.encoding != "clipped":
            raise ValueError(f"privacy.encoding = {self.encoding!r} is not built yet: this software runs 'clipped'")
        caps = [bound for name, bound, _ in self.auxiliary if name == ABSENCE]
        if any(bound != int(bound) or not 2 <= bound <= ABSENCE_CAP_MAX for bound in caps):
            raise ValueError(f"privacy.auxiliary `{ABSENCE}` must have a whole bound within 2..{ABSENCE_CAP_MAX}")

    @property
    def absence_cap(self) -> int:
        return next((int(bound) for name, bound, _ in self.auxiliary if name == ABSENCE), 1)


@dataclass(frozen=True, slots=True)
class Layout3(Section):
    """The fields of a plan of version 3, in order."""

    study: Id
    title: Annotated[str, Text(120)]
    sites_expected: Annotated[int, Whole(1, MEMBERS_MAX)]
    parameters: Annotated[int, Whole(1, COORDINATES_MAX)]
    seed: U
    initial: Digest
    task: Annotated[TaskSpec, Nested(TaskSpec)]
    training: Annotated[Training, Nested(Training)]
    aggregation: Annotated[OldAggregation, Nested(OldAggregation)]
    privacy: Annotated[OldPrivacy, Nested(OldPrivacy)]  #: encoding, masks, noise and example weights in one
    evaluation: Annotated[EvaluationRule, Nested(EvaluationRule)]
    stop: Annotated[StopRule, Nested(StopRule)]
    storage: Annotated[Storage, Nested(Storage)]
    data: Annotated[DataRule, Nested(DataRule)]

    def check(self) -> None:
        least = self.aggregation.cohort_min
        if self.privacy.share_max != share_max(least):
            raise ValueError("privacy.share_max must be 4/(cohort_min + 3)")
        if self.privacy.cohort_effective_min != cohort_effective_min(least):
            raise ValueError("privacy.cohort_effective_min must be 0.6 * cohort_min")

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Raises ValueError for what this layout cannot say."""
        rule = plan.aggregation
        kept = {name: getattr(plan, name) for name in _KEPT}
        return cls(**kept, aggregation=_old_aggregation(rule), privacy=_privacy(plan))

    def values(self) -> dict[str, Any]:
        """The fields of the Plan that this is."""
        old, kept = self.privacy, {name: getattr(self, name) for name in _KEPT}
        return {
            **kept,
            "aggregation": _aggregation(self.aggregation, old),
            "encoding": Clipped(old.modulus_bits, old.clip, old.clip_inf, old.scale_bits, old.auxiliary),
            "masking": Masking(
                old.trustees, old.aggregate_interval_s, old.aggregates_max, old.offer_age_max_s, old.prg, old.kem
            ),
            "noise": Noise(old.noise_std),
        }


class PlanOfVersion3(Plan):
    """A plan as it was signed before version 4; it stays what it was, to the byte."""

    __slots__ = ()
    VERSION: ClassVar[int] = 3
    OLDER: ClassVar[dict[int, type[Record]]] = {}
    LAYOUT: ClassVar[type[Layout3]] = Layout3

    def _pack(self) -> tuple[Any, ...]:
        return self.LAYOUT.of(self)._wire()

    @classmethod
    def _from_wire(cls, wire: Any) -> Self:
        value = object.__new__(cls)
        for name, found in cls.LAYOUT._from_wire(wire).values().items():
            object.__setattr__(value, name, found)
        object.__setattr__(value, "_packed", wire)
        value.check()
        return value


def _old_aggregation(rule: Aggregation) -> OldAggregation:
    return OldAggregation(
        rule.preset, rule.goal, rule.minimum, rule.cohort_min, rule.cohort_max, rule.deadline_ms, rule.staleness_max,
        rule.weight_table, rule.server_optimiser, rule.server_lr, rule.beta1, rule.beta2, rule.denominator_floor,
    )  # fmt: skip


def _aggregation(old: OldAggregation, weighing: OldPrivacy) -> Aggregation:
    return Aggregation(
        old.preset, old.goal, old.minimum, old.cohort_min, old.cohort_max, old.deadline_ms, old.staleness_max,
        old.weight_table, weighing.examples, weighing.examples_max, weighing.absence_cap, old.server_optimiser,
        old.server_lr, old.beta1, old.beta2, old.epsilon,
    )  # fmt: skip


def _privacy(plan: Plan) -> OldPrivacy:
    rule, encoding, masking = plan.aggregation, plan.encoding, plan.masking
    tag, _ = ENCODINGS.pack(encoding)
    return OldPrivacy(
        trustees=masking.trustees,
        encoding=tag,
        modulus_bits=encoding.modulus_bits,
        clip=encoding.clip,
        clip_inf=encoding.clip_inf,
        scale_bits=encoding.scale_bits,
        auxiliary=encoding.auxiliary,
        examples=rule.examples,
        examples_max=rule.examples_max,
        noise_std=plan.noise.noise_std,
        share_max=share_max(rule.cohort_min),
        cohort_effective_min=cohort_effective_min(rule.cohort_min),
        aggregate_interval_s=masking.aggregate_interval_s,
        aggregates_max=masking.aggregates_max,
        offer_age_max_s=masking.offer_age_max_s,
        prg=masking.prg,
        kem=masking.kem,
    )
