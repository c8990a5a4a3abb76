"""How a plan's sections were laid out in schema version 2, which lies on logs and in signed files.

Knows:    what such a plan says by being silent: no metric leaves but those it judges by, no smallest test set (each
          site's policy has one), the default cap of a site's weight.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from schemas.codec import FLAG, ID, INTEGER, Codec, Maybe, Struct, Whole
from schemas.plan.evaluation import COUNTS_KEPT_MAX, WEIGHT_MAX, EvaluationRule
from schemas.plan.stop import VERSIONS_MOST, StopRule
from schemas.plan.version_3 import Layout3, PlanOfVersion3

MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of few fields; `pack` and `unpack` raise ValueError on anything else."""

    name: str
    codecs: tuple[Codec, ...]

    def pack(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(codec.pack(value) for codec, value in zip(self.codecs, values, strict=True))

    def unpack(self, wire: Any) -> list[Any]:
        if type(wire) is not tuple or len(wire) != len(self.codecs):
            raise ValueError(f"{self.name} of a plan of version 2 has {len(self.codecs)} fields")
        return [codec.unpack(item) for codec, item in zip(self.codecs, wire, strict=True)]


class OldEvaluation:
    """every, metric, higher_is_better, weight, bootstrap, alone."""

    section: ClassVar = _Section("EvaluationRule", (Whole(1, COUNTS_KEPT_MAX), ID, FLAG, ID, Whole(0, 10_000), FLAG))

    def pack(self, value: Any) -> tuple[Any, ...]:
        said = (value.every, value.metric, value.higher_is_better, value.weight, value.bootstrap, value.alone)
        if value != _judged(*said):
            raise ValueError("says what a plan of version 2 cannot say")
        return self.section.pack(said)

    def unpack(self, wire: Any) -> Struct:
        return _judged(*self.section.unpack(wire))


class OldStop:
    """versions, patience, target in 1e-6, time_s."""

    section: ClassVar = _Section("StopRule", (Whole(1, VERSIONS_MOST), Whole(), Maybe(INTEGER), Whole()))

    def pack(self, value: Any) -> tuple[Any, ...]:
        target = None if value.target is None else round(value.target * MILLIONTHS)
        return self.section.pack((value.versions, value.patience, target, value.time_s))

    def unpack(self, wire: Any) -> Struct:
        versions, patience, target, time_s = self.section.unpack(wire)
        return StopRule(versions, patience, None if target is None else target / MILLIONTHS, time_s)


def _judged(
    every: int, metric: str, higher_is_better: bool, weight: str, bootstrap: int, alone: bool
) -> EvaluationRule:
    metrics = tuple(sorted({metric, weight}))
    return EvaluationRule(every, metric, higher_is_better, weight, bootstrap, alone, metrics, 1, WEIGHT_MAX)


class Layout2(Layout3):
    """The fields of a plan of version 2, in order."""

    __slots__ = ()

    @classmethod
    def _fields(cls) -> tuple[tuple[str, Codec], ...]:
        old: dict[str, Codec] = {"evaluation": OldEvaluation(), "stop": OldStop()}
        return tuple((name, old.get(name, codec)) for name, codec in Layout3._fields())


class PlanOfVersion2(PlanOfVersion3):
    """A plan as it was signed before version 3; it stays what it was, to the byte."""

    __slots__ = ()
    VERSION: ClassVar[int] = 2
    LAYOUT: ClassVar[type[Layout3]] = Layout2

    def _name_problems(self) -> list[str]:
        return []
