"""Parameters as one vector: what is in it, in which order, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from learning import vector
from learning.vector import FlatModel, difference
from schemas.errors import LocalError


def test_what_is_written_is_read_and_is_what_the_model_computes_with() -> None:
    flat = FlatModel(nn.Linear(3, 1))
    flat.write(np.array([1, 2, 3, 10], np.float32))
    np.testing.assert_array_equal(flat.read(), [1, 2, 3, 10])
    assert flat.model(torch.ones(1, 3)).item() == 16


def test_reading_gives_a_copy() -> None:
    flat = FlatModel(nn.Linear(3, 1))
    flat.read()[:] = 7
    assert not (flat.read() == 7).any()


def test_batchnorm_sends_its_running_statistics_and_its_counter_begins_anew_with_each_vector() -> None:
    flat = FlatModel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert flat.trained == 6 + 3 + 6
    assert len(flat.values) == flat.trained + 6  # running mean and variance; the counter is not there
    before = flat.read()
    flat.model.train()(torch.arange(8.0).reshape(4, 2))
    changed = flat.read() != before
    assert changed[flat.trained :].all()
    assert not changed[: flat.trained].any()
    flat.write(before)
    assert int(flat.model.state_dict()["1.num_batches_tracked"]) == 0  # as a new model has it


def test_gradients_are_those_of_the_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    inputs = torch.randn(5, 3)
    wanted = torch.autograd.grad(model(inputs).sum(), list(model.parameters()))
    flat = FlatModel(model)
    flat.model(inputs).sum().backward()
    np.testing.assert_allclose(flat.gradients, torch.cat([gradient.reshape(-1) for gradient in wanted]), rtol=1e-6)


def test_frozen_parameters_lie_behind_the_trained_ones() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    flat = FlatModel(model)
    assert (flat.trained, len(flat.values)) == (3, 9)


def test_shared_parameters_are_sent_once() -> None:
    layer = nn.Linear(2, 2)
    assert len(FlatModel(nn.Sequential(layer, nn.ReLU(), layer)).values) == 6


@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_vector_of_another_model_is_refused(length: int) -> None:
    with pytest.raises(LocalError, match="has 4 parameters"):
        FlatModel(nn.Linear(3, 1)).write(np.zeros(length, np.float32))


def test_a_model_that_is_not_float32_or_has_nothing_to_train_is_refused() -> None:
    with pytest.raises(LocalError, match=r"parameter weight is torch.float64"):
        FlatModel(nn.Linear(3, 1).double())
    with pytest.raises(LocalError, match="no parameters to train"):
        FlatModel(nn.ReLU())


@given(st.lists(st.tuples(*[st.floats(-(2.0**90), 2.0**90, width=32)] * 2), min_size=1, max_size=9), st.integers(1, 4))
def test_a_difference_is_rounded_once(pairs: list[tuple[float, float]], block: int) -> None:
    new, base = np.array(pairs, np.float32).T
    wanted = np.array([np.float32(float(a) - float(b)) for a, b in zip(new, base, strict=True)])
    before, vector.BLOCK = vector.BLOCK, block
    try:
        np.testing.assert_array_equal(difference(new, base), wanted)
    finally:
        vector.BLOCK = before


def test_a_negative_running_variance_becomes_its_size_in_the_model_and_stays_itself_in_the_vector() -> None:
    flat = FlatModel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    vector = flat.read()
    vector[-3:] = -0.5, 0.25, -0.0
    flat.write(vector)
    assert flat.model.state_dict()["1.running_var"].tolist() == [0.5, 0.25, 0.0]
    assert vector[-3] == np.float32(-0.5)
    exact = flat.state(vector)
    assert exact["1.running_var"].tobytes() == vector[-3:].tobytes()
    assert flat.vector_of(exact).tobytes() == vector.tobytes()
    assert torch.isfinite(flat.model.eval()(torch.ones(1, 2))).all()
