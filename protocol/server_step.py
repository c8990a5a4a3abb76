"""What the server makes of a version's change: average, momentum, Adagrad, Yogi, Adam, the same bytes on every machine.

Knows:    float32 vectors block by block, with + - * / and square root alone, each a numpy call of its own: IEEE 754
          rounds each of them one way, and no compiler can fuse two.
Never:    reads across blocks, so any cutting gives the same bytes.
Source:   FedOpt, arXiv 2003.00295, algorithm 2 (no bias correction; v starts at floor**2); momentum: FedAvgM,
          arXiv 1909.06335.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from protocol.fixed_point import Floats
from schemas.plan import Plan

# The body of the optimiser's state: for each block of STATE_BLOCK parameters, that block of each vector in turn
# (m, then v). So model, change and state are read and written in one pass.
STATE_BLOCK = 131072

State = tuple[Floats, ...]


class ServerStep(Protocol):
    """One server optimiser of a plan."""

    @property
    def vectors(self) -> int:
        """Number of state vectors as long as the model: 0, 1 or 2."""
        ...

    def initial(self, length: int) -> State:
        """The state before the first step, `length` float32 of each vector."""
        ...

    def apply(self, model: Floats, delta: Floats, state: Sequence[Floats]) -> tuple[Floats, State]:
        """Return the next model and state, new arrays. All float32 (block,), cut alike."""
        ...


@dataclass(frozen=True, slots=True)
class Average:
    """x + lr * delta: plain FedAvg at lr 1."""

    lr: np.float32
    vectors: int = 0

    def initial(self, length: int) -> State:
        return ()

    def apply(self, model: Floats, delta: Floats, state: Sequence[Floats]) -> tuple[Floats, State]:
        return model + self.lr * delta, ()


@dataclass(frozen=True, slots=True)
class Momentum:
    """m = beta1 * m + delta; x + lr * m."""

    lr: np.float32
    beta1: np.float32
    vectors: int = 1

    def initial(self, length: int) -> State:
        return (np.zeros(length, np.float32),)

    def apply(self, model: Floats, delta: Floats, state: Sequence[Floats]) -> tuple[Floats, State]:
        m = self.beta1 * state[0] + delta
        return model + self.lr * m, (m,)


@dataclass(frozen=True, slots=True)
class Adagrad:
    """v = v + delta**2; x + lr * delta / (sqrt(v) + floor). Without momentum, as in the paper's experiments."""

    lr: np.float32
    floor: np.float32
    vectors: int = 1

    def initial(self, length: int) -> State:
        return (_start(self.floor, length),)

    def apply(self, model: Floats, delta: Floats, state: Sequence[Floats]) -> tuple[Floats, State]:
        v = state[0] + delta * delta
        return model + _scaled(self.lr, delta, v, self.floor), (v,)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """m = beta1 * m + (1 - beta1) * delta; v by `second`; x + lr * m / (sqrt(v) + floor): Yogi and Adam."""

    lr: np.float32
    beta1: np.float32
    beta1_rest: np.float32
    beta2: np.float32
    beta2_rest: np.float32
    floor: np.float32
    second: Callable[["Adaptive", Floats, Floats], Floats]
    vectors: int = 2

    def initial(self, length: int) -> State:
        return np.zeros(length, np.float32), _start(self.floor, length)

    def apply(self, model: Floats, delta: Floats, state: Sequence[Floats]) -> tuple[Floats, State]:
        m = self.beta1 * state[0] + self.beta1_rest * delta
        v = self.second(self, state[1], delta * delta)
        return model + _scaled(self.lr, m, v, self.floor), (m, v)


def server_step(optimiser: str, lr: float, beta1: float, beta2: float, denominator_floor: float) -> ServerStep:
    """The step named by a plan; what it has no use for is ignored.

    Constants are rounded to float32 once, 1 - beta after the subtraction. Raises ValueError for another name, and
    for a rate or floor outside float32's range.
    """
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if not (least <= lr <= most and least <= denominator_floor <= most):
        raise ValueError(f"server_lr {lr:g} and denominator_floor {denominator_floor:g} must be normal float32 numbers")
    rate, small = np.float32(lr), np.float32(denominator_floor)
    if optimiser == "average":
        return Average(rate)
    if optimiser == "momentum":
        return Momentum(rate, np.float32(beta1))
    if optimiser == "adagrad":
        return Adagrad(rate, small)
    seconds = {"yogi": _yogi, "adam": _adam}
    if optimiser not in seconds:
        raise ValueError(f"no server optimiser `{optimiser}`")
    first = (np.float32(beta1), np.float32(1.0 - beta1))
    return Adaptive(rate, *first, np.float32(beta2), np.float32(1.0 - beta2), small, seconds[optimiser])


def step_of(plan: Plan) -> ServerStep:
    """The server step of a plan."""
    rule = plan.aggregation
    return server_step(rule.server_optimiser, rule.server_lr, rule.beta1, rule.beta2, rule.denominator_floor)


def split_state(block: Floats, vectors: int) -> State:
    """Views of each vector's part of one block of the state's body; `block` holds `vectors` parts of equal length."""
    return tuple(block.reshape(vectors, -1)) if vectors else ()


def join_state(state: Sequence[Floats]) -> Floats:
    """One block of the state's body from each vector's part, float32 (vectors * block,)."""
    return np.concatenate(state) if state else np.empty(0, np.float32)


def _adam(step: Adaptive, v: Floats, square: Floats) -> Floats:
    return step.beta2 * v + step.beta2_rest * square


def _yogi(step: Adaptive, v: Floats, square: Floats) -> Floats:
    direction: Floats = np.sign(v - square)
    return v - step.beta2_rest * square * direction


def _start(floor: np.float32, length: int) -> Floats:
    return np.full(length, floor * floor, np.float32)


def _scaled(lr: np.float32, direction: Floats, v: Floats, floor: np.float32) -> Floats:
    root: Floats = np.sqrt(v)
    return lr * direction / (root + floor)
