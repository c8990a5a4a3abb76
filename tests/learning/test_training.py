"""How a site trains: the optimisers, batches, seeds, limits, and what is reported when it goes wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from learning.optimiser import Optimiser
from learning.task import SiteData, TrainingCancelledError, TrainingError, TrainingSettings
from learning.torch_task import Batch, batch_sizes
from learning.vector import FlatModel
from schemas.errors import LocalError
from tests.learning.toy import Averaged, Normed, Projected, Toy, patients, quiet, train

SGD = TrainingSettings("sgd", 0.1, epochs=2, batch=8)
REPOSITORY = Path(__file__).parents[2]


def torchs(values: Tensor, ours: TrainingSettings) -> Callable[[Tensor], None]:
    """A step by torch's own functions with its classes' defaults; to make such an object would load the compiler."""
    rest: dict[str, Any] = {"lr": ours.learning_rate, "weight_decay": ours.weight_decay, "maximize": False}
    if ours.optimiser == "sgd":
        buffers: list[Tensor | None] = [None]
        rest |= {"momentum": ours.momentum, "dampening": _default(torch.optim.SGD, "dampening"), "nesterov": False}
        return lambda gradient: sgd([values], [gradient], buffers, **rest)
    means, squares, count = [torch.zeros_like(values)], [torch.zeros_like(values)], [torch.zeros(())]
    beta1, beta2 = _default(torch.optim.Adam, "betas")
    rest |= {"beta1": beta1, "beta2": beta2, "eps": _default(torch.optim.Adam, "eps"), "amsgrad": False}
    return lambda gradient: adam([values], [gradient], means, squares, [], count, **rest)


def _default(kind: type, name: str) -> Any:
    return inspect.signature(kind).parameters[name].default


@pytest.mark.parametrize(
    "ours",
    [
        TrainingSettings("sgd", 0.1),
        TrainingSettings("sgd", 0.1, momentum=0.9, weight_decay=0.01),
        TrainingSettings("adam", 0.01),
        TrainingSettings("adam", 0.01, weight_decay=0.1),
    ],
    ids=["sgd", "sgd-momentum-decay", "adam", "adam-decay"],
)
def test_the_optimisers_are_those_of_torch(ours: TrainingSettings) -> None:
    values, gradients = torch.linspace(-1, 1, 6), torch.zeros(6)
    wanted = values.clone()
    own, theirs = Optimiser(values, gradients, ours), torchs(wanted, ours)
    for step in range(7):
        gradients.copy_(torch.sin(torch.arange(6.0) + step))
        own.step()
        theirs(gradients.clone())
    np.testing.assert_allclose(values.numpy(), wanted.numpy(), rtol=1e-6, atol=1e-7)
    assert (values != torch.linspace(-1, 1, 6)).all()


def test_the_proximal_term_pulls_back_to_where_the_round_began() -> None:
    values, gradients = torch.ones(1), torch.ones(1)
    optimiser = Optimiser(values, gradients, TrainingSettings("sgd", 0.1, proximal=2.0))
    optimiser.step()
    assert values.item() == pytest.approx(0.9)
    optimiser.step()  # gradient 1 + 2 * (0.9 - 1)
    assert values.item() == pytest.approx(0.9 - 0.1 * 0.8)


def test_an_update_is_new_minus_base_and_leaves_the_base_alone() -> None:
    task = Toy()
    base = task.initial(1)
    kept = base.copy()
    update = train(task, SGD, base=base)
    assert update.dtype == np.float32
    assert update.shape == (task.parameters(),)
    assert np.abs(update).max() > 0
    np.testing.assert_array_equal(base, kept)
    better = task.loss_on(base + update, patients(40))
    assert better < task.loss_on(base, patients(40))


@pytest.mark.parametrize("kind", [Toy, Normed, Averaged, Projected])
def test_the_same_seed_gives_the_same_bytes_whatever_happened_before(kind: type[Toy]) -> None:
    first, second = kind(), kind()
    np.testing.assert_array_equal(first.initial(5), second.initial(5))
    assert (first.initial(5) != first.initial(6)).any()
    train(second, TrainingSettings("adam", 0.1), seed=9)  # optimiser state and dropout of another round
    torch.rand(3)
    one, two, other = train(first, SGD, seed=3), train(second, SGD, seed=3), train(first, SGD, seed=4)
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_model_begins_with_what_torch_draws_from_the_seed() -> None:
    """Plans hold the digest of it: whoever computes it, with torch alone too, gets the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        wanted = FlatModel(Toy().model()).read()
    np.testing.assert_array_equal(Toy().initial(5), wanted)


def test_steps_are_batches_and_epochs_are_passes() -> None:
    epochs = train(Toy(), replace(SGD, epochs=2))
    steps = train(Toy(), replace(SGD, epochs=0, steps=10))  # 40 patients, batches of 8
    np.testing.assert_array_equal(epochs, steps)
    assert (train(Toy(), replace(SGD, epochs=0, steps=9)) != epochs).any()


@given(st.integers(1, 500), st.integers(0, 64))
def test_an_epoch_meets_every_patient_once_and_nobody_alone(n: int, batch: int) -> None:
    sizes = batch_sizes(n, batch)
    assert sum(sizes) == n
    assert max(sizes) <= (batch + 1 if batch else n)
    assert min(sizes) > 1 or n == 1 or batch == 1


def test_batchnorm_trains_where_a_patient_is_left_over() -> None:
    assert np.isfinite(train(Normed(), SGD, n=17)).all()


def test_training_that_diverges_is_reported_with_epoch_and_step() -> None:
    class Bad(Toy):
        def loss(self, model: nn.Module, batch: Batch) -> Tensor:
            return super().loss(model, batch) * (float("nan") if self.calls() == 7 else 1.0)

        def calls(self) -> int:
            self.count = getattr(self, "count", 0) + 1
            return int(self.count)

    with pytest.raises(TrainingError, match="epoch 2, step 2"):
        train(Bad(), SGD)


def test_infinite_parameters_after_the_last_step_are_reported() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        train(Toy(), TrainingSettings("sgd", 1e38, epochs=0, steps=1, batch=0, weight_decay=1e3))


def test_no_patients_are_reported() -> None:
    with pytest.raises(TrainingError, match="no training patients"):
        train(Toy(), SGD, n=0)


def test_training_can_be_cancelled_between_steps() -> None:
    asked = iter([False, False, True])
    data = SiteData("site", patients(40), patients(4), 0)
    task = Toy()
    with pytest.raises(TrainingCancelledError, match="after 2 of 10 steps"):
        task.train(task.initial(0), data, SGD, seed=0, progress=quiet, cancelled=lambda: next(asked))


def test_progress_rises_to_one_and_is_told_seldom() -> None:
    told: list[float] = []
    data = SiteData("site", patients(40), patients(4), 0)
    task, training = Toy(), TrainingSettings("sgd", 0.1, epochs=50, batch=8)
    task.train(task.initial(0), data, training, seed=0, progress=told.append, cancelled=lambda: False)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) <= 20


def test_past_its_time_limit_training_hands_over_what_it_has() -> None:
    limited = train(Toy(), replace(SGD, time_limit_s=1e-9))
    np.testing.assert_array_equal(limited, train(Toy(), replace(SGD, epochs=0, steps=1)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimiser": "lamb"},
        {"epochs": 0},
        {"epochs": 1, "steps": 1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"batch": -1},
        {"proximal": float("nan")},
        {"momentum": 1.0},
        {"optimiser": "adam", "momentum": 0.5},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalError, match=r"training"):
        TrainingSettings(**wrong)  # type: ignore[arg-type]  # each case is wrong on purpose


def test_a_task_needs_no_torch_and_a_torch_task_no_compiler() -> None:
    """Each trainer would pay seconds and hundreds of megabytes for them."""
    code = (
        "import sys, numpy as np; from learning.task import *; import learning.entry;"
        "from studies.linear_regression.task import task; assert 'torch' not in sys.modules, 'torch';"
        "from tests.learning.toy import Toy, train; train(Toy(), TrainingSettings('adam'));"
        "assert 'torch._dynamo' not in sys.modules, 'dynamo'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
