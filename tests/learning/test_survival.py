"""Cox's likelihood and the C-index, against the definition and against lifelines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learning.metrics import c_index
from learning.survival import cox_loss

PATIENTS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(1, 6), st.integers(0, 1)), min_size=1, max_size=12
)  # (risk, time, event), with many ties


@given(PATIENTS)
def test_the_loss_is_the_definition_with_ties_after_breslow(rows: list[tuple[int, int, int]]) -> None:
    risk, time, event = np.array(rows, np.float64).T
    terms = [np.log(np.exp(risk[time >= t]).sum()) - r for r, t, died in rows if died]
    wanted = float(np.sum(terms)) / max(len(terms), 1)
    found = cox_loss(*(torch.tensor(values, dtype=torch.float64) for values in (risk, time, event)))
    assert float(found) == pytest.approx(wanted, abs=1e-9)


def test_the_loss_of_survivors_is_zero_and_so_is_its_gradient() -> None:
    risk = torch.ones(3, requires_grad=True)
    loss = cox_loss(risk, torch.arange(3.0), torch.zeros(3))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert risk.grad is not None
    assert not risk.grad.any()


@given(PATIENTS)
def test_the_c_index_is_the_definition(rows: list[tuple[int, int, int]]) -> None:
    scored = [
        1.0 if risk > other else 0.5 if risk == other else 0.0
        for risk, time, died in rows
        for other, later, other_died in rows
        if died and (time < later or (time == later and not other_died))
    ]
    index, pairs = c_index(*np.array(rows, np.float64).T)
    assert pairs == len(scored)
    assert index == (pytest.approx(np.mean(scored)) if scored else None)


def test_the_c_index_is_that_of_lifelines() -> None:
    utils = pytest.importorskip("lifelines.utils")
    rng = np.random.default_rng(0)
    risk, time, event = rng.integers(0, 9, 60), rng.integers(1, 40, 60), rng.integers(0, 2, 60)
    index, _ = c_index(risk, time, event)
    assert index == pytest.approx(utils.concordance_index(time, -risk, event), abs=0.02)  # it counts tied deaths too
    distinct = rng.permutation(60)
    index, _ = c_index(risk, distinct, event)
    assert index == pytest.approx(utils.concordance_index(distinct, -risk, event), abs=1e-12)
