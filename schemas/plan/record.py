"""The plan: everything about a study that all roles must agree on, as one record known by its digest.

Knows:    its sections, in order, and what follows from several of them.
Never:    guesses a default (registry.plans does, for the author).
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar

from schemas.codec import Digest, Id, Nested, Record, Text, U, Whole
from schemas.plan import between
from schemas.plan.aggregation import Aggregation
from schemas.plan.data import DataRule
from schemas.plan.encoding import ENCODINGS, Clipped
from schemas.plan.evaluation import EvaluationRule
from schemas.plan.masking import Masking
from schemas.plan.noise import Noise
from schemas.plan.section import Section
from schemas.plan.stop import StopRule
from schemas.plan.storage import Storage
from schemas.plan.task import TaskSpec
from schemas.plan.training import Training
from schemas.records import MEMBERS_MAX, PLAN_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Plan(Record):
    """Registrar -> all, inside a PlanRecord: one study, whole. Its digest names it; a changed plan is a new study."""

    KIND: ClassVar[int] = 32
    VERSION: ClassVar[int] = 4
    SIZE_MAX: ClassVar[int] = PLAN_BYTES_MAX
    study: Id  #: the study's name, in topics too
    title: Annotated[str, Text(120)]  #: what people call it
    sites_expected: Annotated[int, Whole(1, MEMBERS_MAX)]  #: sites that its author named
    parameters: Annotated[int, Whole(1, between.COORDINATES_MAX)]  #: p, floating-point parameters of the model
    seed: U  #: version 0 and the order of examples follow from it
    initial: Digest  #: body digest of version 0, float32 little-endian
    task: Annotated[TaskSpec, Nested(TaskSpec)]  #: which code runs
    training: Annotated[Training, Nested(Training)]  #: what a site does for one update
    aggregation: Annotated[Aggregation, Nested(Aggregation)]  #: when updates make a version, and how
    encoding: Annotated[Clipped, ENCODINGS]  #: how an update becomes whole numbers
    masking: Annotated[Masking, Nested(Masking)]  #: who holds masks
    noise: Annotated[Noise, Nested(Noise)]  #: what is added before anything can be read
    evaluation: Annotated[EvaluationRule, Nested(EvaluationRule)]  #: what is measured, and what of it may leave
    stop: Annotated[StopRule, Nested(StopRule)]  #: when the study ends
    storage: Annotated[Storage, Nested(Storage)]  #: what the broker keeps
    data: Annotated[DataRule, Nested(DataRule)]  #: what a site's data must be like

    def check(self) -> None:
        alone = [problem for section in self.sections for problem in section.problems()]
        problems = [*alone, *self._name_problems(), *self._between()]
        if problems:
            raise ValueError("; ".join(problems))

    def _name_problems(self) -> list[str]:
        return self.evaluation.name_problems()

    def _between(self) -> list[str]:
        rule, encoding, masking = self.aggregation, self.encoding, self.masking
        found = [
            *between.of_cohorts(rule, masking, self.sites_expected, self.parameters),
            *between.of_end(masking, self.stop),
            *between.of_weights(rule, encoding, masking),
        ]
        if encoding.problems():  # what it means for sums cannot be told
            return found
        return [
            *found,
            *between.of_headroom(rule, encoding, masking, self.noise),
            *between.of_size(encoding, self.parameters),
        ]

    @property
    def sections(self) -> tuple[Section, ...]:
        return tuple(value for name, _ in Plan._fields() if isinstance(value := getattr(self, name), Section))

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def d(self) -> int:
        """Coordinates of an update: parameters and auxiliary ones."""
        return self.parameters + len(self.encoding.auxiliary)

    @property
    def body_bytes(self) -> int:
        """Bytes of one update's body, before sealing."""
        return self.d * self.encoding.modulus_bits // 8

    def weight(self, staleness: int) -> int | None:
        """The weight in 16ths of an update that is `staleness` versions behind; None when it is refused."""
        return self.aggregation.weight_table[staleness] if 0 <= staleness <= self.aggregation.staleness_max else None


def plan_of(payload: bytes) -> Plan:
    """Read and check a plan's bytes, of this schema version or an older one.

    Raises PeerError with every reason for which it is refused.
    """
    return Plan.from_bytes(payload)
