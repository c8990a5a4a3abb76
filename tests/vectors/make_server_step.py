"""Make server_step.json: three steps of every server optimiser in exact arithmetic, each operation rounded once.

Run once, from the repository's root: python -m tests.vectors.make_server_step
"""

import json
from fractions import Fraction

from tests.vectors import FOLDER
from tests.vectors.exact_floats import f32, f32_hex, f32_root, floats

OUT = FOLDER / "server_step.json"
COUNT, STEPS = 131, 3  # an odd length: vector instructions and the rest behind them both have work
LR, BETA1, BETA2, EPSILON = 0.7, 0.9, 0.99, 0.001
Vector = list[Fraction]

lr, beta1, beta2, epsilon = (f32(Fraction(value)) for value in (LR, BETA1, BETA2, EPSILON))
rest1, rest2 = f32(Fraction(1.0 - BETA1)), f32(Fraction(1.0 - BETA2))


def add(x: Vector, y: Vector) -> Vector:
    return [f32(a + b) for a, b in zip(x, y, strict=True)]


def times(factor: Fraction, x: Vector) -> Vector:
    return [f32(factor * a) for a in x]


def product(x: Vector, y: Vector) -> Vector:
    return [f32(a * b) for a, b in zip(x, y, strict=True)]


def scaled(direction: Vector, v: Vector) -> Vector:
    """(lr * direction) / (sqrt(v) + epsilon)"""
    below = [f32(f32_root(a) + epsilon) for a in v]
    return [f32(a / b) for a, b in zip(times(lr, direction), below, strict=True)]


def step(name: str, x: Vector, change: Vector, state: list[Vector]) -> tuple[Vector, list[Vector]]:
    square = product(change, change)
    if name == "average":
        return add(x, times(lr, change)), []
    if name == "momentum":
        m = add(times(beta1, state[0]), change)
        return add(x, times(lr, m)), [m]
    if name == "adagrad":
        v = add(state[0], square)
        return add(x, scaled(change, v)), [v]
    m = add(times(beta1, state[0]), times(rest1, change))
    if name == "adam":
        v = add(times(beta2, state[1]), times(rest2, square))
    else:
        signs = [Fraction((a > b) - (a < b)) for a, b in zip(state[1], square, strict=True)]
        v = [f32(a - b) for a, b in zip(state[1], product(times(rest2, square), signs), strict=True)]
    return add(x, scaled(m, v)), [m, v]


def starts(count: int) -> dict[str, list[Vector]]:
    """The state of each optimiser before its first step."""
    zero, small = [Fraction(0)] * count, [f32(epsilon * epsilon)] * count
    return {"average": [], "momentum": [zero], "adagrad": [small], "yogi": [zero, small], "adam": [zero, small]}


def main() -> None:
    x0 = floats("model", COUNT, size=1.0)
    changes = [floats(f"change {index}", COUNT, size=10.0**-index) for index in range(STEPS)]
    results = {}
    for name, state in starts(COUNT).items():
        x = x0
        for change in changes:
            x, state = step(name, x, change, state)
        results[name] = {"model": f32_hex(x), "state": [f32_hex(vector) for vector in state]}
    content = {
        "comment": "made by make_server_step.py; vectors float32 little-endian; results after all changes in order",
        "lr": LR, "beta1": BETA1, "beta2": BETA2, "denominator_floor": EPSILON,
        "model": f32_hex(x0), "changes": [f32_hex(change) for change in changes], "results": results,
    }  # fmt: skip
    OUT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
