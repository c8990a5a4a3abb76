"""What updates and models are made of in a history: nothing, unit vectors, or real numbers.

Knows:    a sum is judged by what was added to it: with unit vectors each update is a coordinate of its own, so that a
          coefficient that is not the update's weight is a replay, a loss or a mistake in weighing.
Never:    imports torch: what trains is handed in.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from participant.core.absence import weights
from protocol.digests import digest_of
from protocol.fixed_point import (
    Encoding,
    add_weighted,
    centred,
    check_range,
    check_sum,
    delta,
    encode,
    examples_index,
    factor,
    sum_digest,
)
from protocol.server_step import step_of
from schemas.plan import Plan
from simulation.records import Body, Floats, Model, Name, Words

Train = Callable[[str, Floats], Floats]
Measure = Callable[[str, Floats], tuple[float, float]]


class Sum(Protocol):
    """What a coordinator has added up since its last version."""

    coefficients: dict[Name, int]  # how often each update is in it, in 16ths

    def add(self, body: Body, weight: int) -> None: ...
    def clear(self) -> None: ...


class Vectors(Protocol):
    """The arithmetic of one history."""

    def first(self) -> Model:
        """Version 0."""

    def new_sum(self) -> Sum: ...

    def train(self, site: str, model: Model) -> Floats | None:
        """The update of a site from `model`."""

    def encode(self, site: str, update: Floats | None, stands_for: float) -> Words | None:
        """The update as its body holds it; it stands for so many versions, where the plan weighs absence."""

    def measure(self, site: str, model: Model) -> tuple[float, float] | None:
        """A site's primary metric of `model`, and its weight; None when nothing is measured."""

    def step(self, model: Model, total: Sum, *, n: int, sum_w: int) -> tuple[Model, bytes]:
        """The next version and the digest of the sum. Raises PeerError when the sum cannot be right."""


class UnitSum:
    """Each update is its own coordinate."""

    def __init__(self) -> None:
        self.coefficients: dict[Name, int] = {}

    def add(self, body: Body, weight: int) -> None:
        name = body.site, body.sequence
        left = self.coefficients.get(name, 0) + weight
        if left:
            self.coefficients[name] = left
        else:
            del self.coefficients[name]

    def clear(self) -> None:
        self.coefficients.clear()


class UnitVectors:
    """Nothing is learnt; a model's digest tells exactly which updates made it, with which weights."""

    def __init__(self, plan: Plan, measure: Callable[[str, int], tuple[float, float]] | None = None) -> None:
        self._initial = plan.initial
        self._moments = b"fresh" if step_of(plan).vectors else b""
        self._measure = measure

    def first(self) -> Model:
        return Model(0, self._initial, moments=self._moments)

    def new_sum(self) -> Sum:
        return UnitSum()

    def train(self, site: str, model: Model) -> Floats | None:
        return None

    def encode(self, site: str, update: Floats | None, stands_for: float) -> Words | None:
        return None

    def measure(self, site: str, model: Model) -> tuple[float, float] | None:
        return self._measure(site, model.version) if self._measure else None

    def step(self, model: Model, total: Sum, *, n: int, sum_w: int) -> tuple[Model, bytes]:
        found = next_model(model, total.coefficients, n)
        return found, hashlib.sha256(b"sum" + found.digest).digest()


def next_model(before: Model, coefficients: Mapping[Name, int], n: int) -> Model:
    """The model that `coefficients`, divided by 16 n, make of the one before and of its optimiser's state."""
    words = ";".join(f"{site}/{sequence}*{weight}" for (site, sequence), weight in sorted(coefficients.items()))
    digest = hashlib.sha256(before.digest + before.moments + f"{n}:{words}".encode()).digest()
    moments = hashlib.sha256(b"moments" + digest).digest() if before.moments else b""
    return Model(before.version + 1, digest, moments=moments)


class RealSum(UnitSum):
    """The weighted integer sum, modulo 2**k, as a coordinator holds it."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.words: Words = np.zeros(encoding.d, np.uint32)

    def add(self, body: Body, weight: int) -> None:
        assert body.words is not None
        super().add(body, weight)
        add_weighted(self.words, body.words, weight)

    def clear(self) -> None:
        super().clear()
        self.words.fill(0)


@dataclass(frozen=True, slots=True)
class Learner:
    """What really learns: float32 (p,) in and out.

    train      (site, base model) -> update, the difference to the base
    measure    (site, model) -> primary metric and its weight; None: sites measure nothing
    examples   a site's number of training patients, where the plan lets them weigh
    """

    initial: Floats
    train: Train
    measure: Measure | None = None
    examples: Mapping[str, int] | None = None


class RealVectors:
    """Updates clipped, scaled and rounded, sums modulo 2**k, server steps: protocol's own arithmetic."""

    def __init__(self, plan: Plan, learner: Learner) -> None:
        self._plan, self._learner = plan, learner
        self._encoding = Encoding.from_plan(plan)
        self._step = step_of(plan)

    def first(self) -> Model:
        vector = self._learner.initial
        return Model(0, _digest(vector), vector, self._step.initial(len(vector)))

    def new_sum(self) -> Sum:
        return RealSum(self._encoding)

    def train(self, site: str, model: Model) -> Floats | None:
        assert model.vector is not None
        return self._learner.train(site, model.vector)

    def encode(self, site: str, update: Floats | None, stands_for: float) -> Words | None:
        assert update is not None
        words = np.concatenate(list(encode(update, self._encoding, self._auxiliary(site, stands_for)).blocks()))
        check_range(words, self._encoding, 0)
        return words

    def measure(self, site: str, model: Model) -> tuple[float, float] | None:
        assert model.vector is not None
        return self._learner.measure(site, model.vector) if self._learner.measure else None

    def step(self, model: Model, total: Sum, *, n: int, sum_w: int) -> tuple[Model, bytes]:
        assert isinstance(total, RealSum)
        assert model.vector is not None
        encoding = self._encoding
        check_sum(total.words, encoding, 0, sum_w)
        index = examples_index(encoding)
        examples = None if index is None else int(centred(total.words[index : index + 1])[0])
        change = delta(total.words[: encoding.p], factor(encoding, n, sum_w, examples))
        vector, state = self._step.apply(model.vector, change, model.state)
        return Model(model.version + 1, _digest(vector), vector, state), sum_digest([total.words])

    def _auxiliary(self, site: str, stands_for: float) -> dict[str, float]:
        known = self._learner.examples
        assert self._plan.aggregation.examples is None or known is not None, (
            "the plan weighs by examples: who has how many?"
        )
        return weights(self._plan, examples=known[site] if known is not None else 0, stands_for=stands_for)


def _digest(vector: Floats) -> bytes:
    return digest_of([np.ascontiguousarray(vector, "<f4").data.cast("B")])
