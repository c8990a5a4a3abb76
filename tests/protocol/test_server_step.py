"""Server steps: golden bytes from exact arithmetic, the same without the CPU's vector instructions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fixed_point import Floats
from protocol.server_step import ServerStep, join_state, server_step, split_state, step_of
from schemas.plan import SERVER_OPTIMISERS
from tests.protocol.step_digests import OPTIMISERS, digests, dispatched
from tests.schemas.plans import changed
from tests.vectors import load

VECTORS = load("server_step")
each = pytest.mark.parametrize("name", OPTIMISERS)


def step(name: str) -> ServerStep:
    return server_step(name, VECTORS["lr"], VECTORS["beta1"], VECTORS["beta2"], VECTORS["denominator_floor"])


def from_hex(text: str) -> Floats:
    return np.frombuffer(bytes.fromhex(text), "<f4")


def test_every_optimiser_a_plan_may_name_is_here() -> None:
    assert set(OPTIMISERS) == set(SERVER_OPTIMISERS) == set(VECTORS["results"])


@each
def test_three_steps_are_golden(name: str) -> None:
    server, model = step(name), from_hex(VECTORS["model"])
    state = server.initial(len(model))
    for change in VECTORS["changes"]:
        model, state = server.apply(model, from_hex(change), state)
    assert model.tobytes().hex() == VECTORS["results"][name]["model"]
    assert [vector.tobytes().hex() for vector in state] == VECTORS["results"][name]["state"]
    assert len(state) == server.vectors


@each
@given(cut=st.integers(0, 131))
def test_any_cutting_into_blocks_gives_the_same_bytes(name: str, cut: int) -> None:
    server, model, change = step(name), from_hex(VECTORS["model"]), from_hex(VECTORS["changes"][0])
    whole, state = server.apply(model, change, server.initial(len(model)))
    parts = [
        server.apply(model[part], change[part], server.initial(len(model[part])))
        for part in (slice(cut), slice(cut, None))
    ]
    assert b"".join(part.tobytes() for part, _ in parts) == whole.tobytes()
    assert [b"".join(parts[i][1][at].tobytes() for i in (0, 1)) for at in range(server.vectors)] == [
        vector.tobytes() for vector in state
    ]


@each
def test_a_step_leaves_its_input_alone(name: str) -> None:
    server, model, change = step(name), from_hex(VECTORS["model"]).copy(), from_hex(VECTORS["changes"][0]).copy()
    state = server.initial(len(model))
    before = [vector.tobytes() for vector in (model, change, *state)]
    after, _ = server.apply(model, change, state)
    assert [vector.tobytes() for vector in (model, change, *state)] == before
    assert after.dtype == np.float32


@each
def test_state_survives_its_body(name: str) -> None:
    server = step(name)
    _, state = server.apply(np.ones(5, np.float32), np.arange(5, dtype=np.float32), server.initial(5))
    body = join_state(state)
    assert len(body) == 5 * server.vectors
    assert [part.tolist() for part in split_state(body, server.vectors)] == [part.tolist() for part in state]


def test_an_average_at_rate_one_is_the_plain_sum() -> None:
    model, change = from_hex(VECTORS["model"]), from_hex(VECTORS["changes"][0])
    after, state = server_step("average", 1.0, 0.9, 0.99, 1e-3).apply(model, change, ())
    assert np.array_equal(after, model + change)
    assert state == ()


@pytest.mark.parametrize("name", ["adagrad", "yogi", "adam"])
def test_a_coordinate_that_never_moved_stays_where_it_is(name: str) -> None:
    server, zero = step(name), np.zeros(3, np.float32)
    model = np.array([1.5, -2.0, 0.0], np.float32)
    after, _ = server.apply(model, zero, server.initial(3))
    assert np.array_equal(after, model)


def test_numbers_no_float32_can_hold_are_refused() -> None:
    for name, lr, epsilon in (("sgd", 1.0, 1e-3), ("adam", 1e39, 1e-3), ("adam", 1.0, 1e-50)):
        with pytest.raises(ValueError, match=r"optimiser|float32"):
            server_step(name, lr, 0.9, 0.99, epsilon)


def test_the_step_of_a_plan_is_the_one_it_names() -> None:
    plan = changed(aggregation={"server_optimiser": "yogi", "server_lr": 0.25})
    assert step_of(plan) == server_step("yogi", 0.25, plan.aggregation.beta1, plan.aggregation.beta2, 1e-3)


def test_versions_are_the_same_bytes_without_the_cpus_dispatchable_features() -> None:
    root = Path(__file__).parents[2]
    disabled = dispatched()
    result = subprocess.run(
        [sys.executable, "-m", "tests.protocol.step_digests"],
        cwd=root,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    plain = json.loads(result.stdout)
    assert plain["features"] == []  # they were off over there
    assert plain["digests"] == digests()
