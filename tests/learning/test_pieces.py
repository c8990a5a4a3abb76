"""Work that is put aside: baseline, bootstrap and prediction give the same, whatever the model does meanwhile."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.pieces import Pieces, TrainingCancelledError, finish, go_on, part
from learning.task import PREDICTED_BYTES, PREDICTED_MAX, DataSource, Patients, SiteData, TrainingSettings
from studies.linear_regression.task import LinearRegression
from tests.learning.toy import Normed, Toy, patients, quiet

TRAINING = TrainingSettings("adam", 0.05, epochs=1, batch=8)


def counting(to: int) -> Pieces[int]:
    for done in range(1, to + 1):
        yield done / to
    return to


def after(asked: int) -> Callable[[], bool]:
    """Cancelled from the asking with this number on, counted from 0."""
    left = iter([False] * asked)
    return lambda: next(left, True)


def test_what_was_done_is_not_done_again() -> None:
    told: list[float] = []
    pieces = counting(4)
    with pytest.raises(TrainingCancelledError, match="50% done"):
        go_on(pieces, told.append, after(2))
    assert go_on(pieces, told.append, after(9)) == 4
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_work_that_is_not_kept_ends_where_it_was_stopped() -> None:
    pieces = counting(4)
    with pytest.raises(TrainingCancelledError):
        finish(pieces, quiet, after(2))
    assert list(pieces) == []


def test_a_part_tells_its_share_of_the_whole() -> None:
    told: list[float] = []
    assert finish(part(counting(2), 0.5, 1.0), told.append) == 2
    assert told == [0.75, 1.0]


def interrupted(pieces: Pieces[Any], every: int, meanwhile: Callable[[], object]) -> Any:
    """The result of work that is put aside after each `every` pieces, for something else."""
    while True:
        try:
            return go_on(pieces, quiet, after(every))
        except TrainingCancelledError:
            meanwhile()


def busy(task: Toy, data: SiteData) -> Callable[[], object]:
    """The site trains and measures versions with the same task, and something draws random numbers."""
    bases: Iterator[int] = iter(range(10**6))

    def use() -> None:
        base = task.initial(next(bases))
        task.train(base, data, TRAINING, seed=next(bases), progress=quiet, cancelled=lambda: False)
        task.evaluate(base, data)
        torch.rand(3)

    return use


@settings(max_examples=8, deadline=None)
@given(every=st.integers(1, 60))
def test_a_baseline_that_was_put_aside_equals_one_that_was_not(every: int) -> None:
    task = Normed()  # dropout draws, BatchNorm keeps statistics and counts
    data = task.load(DataSource("site"))
    whole = task.alone(data, TRAINING, seed=3, progress=quiet)
    pieces = task.alone_pieces(data, TRAINING, seed=3, cancelled=lambda: False)
    np.testing.assert_array_equal(interrupted(pieces, every, busy(task, data)), whole)


def test_two_baselines_that_take_turns_do_not_meet() -> None:
    data = Normed().load(DataSource("site"))
    whole = Normed().alone(data, TRAINING, seed=3, progress=quiet)
    first, second = (Normed().alone_pieces(data, TRAINING, seed=3, cancelled=lambda: False) for _ in range(2))

    def step() -> None:
        next(second)

    np.testing.assert_array_equal(interrupted(first, 7, step), whole)
    np.testing.assert_array_equal(finish(second), whole)


def test_a_baseline_that_is_dropped_leaves_the_random_numbers_of_others_alone() -> None:
    task = Normed()
    pieces = task.alone_pieces(task.load(DataSource("site")), TRAINING, seed=3, cancelled=lambda: False)
    next(pieces)
    before = torch.get_rng_state()
    pieces.close()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_torch_an_epoch_that_was_begun_is_put_off() -> None:
    class Asking(LinearRegression):
        def train(self, *arguments: Any, **named: Any) -> np.ndarray:
            if named["cancelled"]():
                raise TrainingCancelledError("in the middle")
            return super().train(*arguments, **named)

    training = TrainingSettings("sgd", 0.1, epochs=0, steps=1, batch=0)
    data = Asking().load(DataSource("site-050"))
    whole = Asking().alone(data, training, seed=0, progress=quiet)
    wanted = iter([False, True, False] * 1000)
    pieces = Asking().alone_pieces(data, training, seed=0, cancelled=lambda: next(wanted))
    np.testing.assert_array_equal(interrupted(pieces, 2, lambda: None), whole)


def test_a_measurement_that_was_put_aside_equals_one_that_was_not() -> None:
    task = Toy()
    data = replace(task.load(DataSource("site")), test=patients(3000, seed=4))
    vector = task.initial(5)
    whole = finish(task.measured_pieces(vector, data, seed=2, resamples=50))
    assert {"accuracy", "accuracy-low", "accuracy-high", "n-test"} == set(whole)
    assert (whole["accuracy-low"], whole["accuracy-high"]) == task.interval(vector, data, seed=2, resamples=50)
    assert interrupted(task.measured_pieces(vector, data, seed=2, resamples=50), 1, busy(task, data)) == whole


@given(rows=st.integers(0, 3000), columns=st.integers(1, 2000))
def test_batches_hold_every_patient_once_and_few_at_a_time(rows: int, columns: int) -> None:
    inputs = np.broadcast_to(np.arange(rows)[:, None], (rows, columns))
    batches = list(Patients(inputs, np.arange(rows)).batches())
    assert np.concatenate([batch.targets for batch in batches]).tolist() == list(range(rows))
    assert all(len(batch) <= PREDICTED_MAX for batch in batches)
    assert all(len(batch) == 1 or 4 * batch.inputs.size <= PREDICTED_BYTES for batch in batches)


def test_however_many_the_test_patients_a_model_sees_few_at_once() -> None:
    class Watched(Toy):
        def model(self) -> torch.nn.Module:
            model = super().model()
            model.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel() * 4))
            return model

    seen: list[int] = []
    task = Watched()
    many = Patients(np.zeros((50_000, 3), np.float32), np.zeros(50_000, np.int64))
    data = SiteData("site", patients(2000), many, 0)
    vector = task.alone(data, replace(TRAINING, batch=64), seed=0, progress=quiet)
    seen.clear()
    tracemalloc.start()
    task.evaluate(vector, data)
    task.interval(vector, data, resamples=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(seen) <= PREDICTED_BYTES
    assert peak < 10e6  # outputs (0.4 MB) and a resample of them, no second copy of what was read


def test_the_validation_of_a_baseline_is_in_batches_too() -> None:
    class Watched(Toy):
        def loss(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
            sizes.append(len(batch.targets))
            return super().loss(model, batch)

    sizes: list[int] = []
    Watched().alone(SiteData("site", patients(2000), patients(4), 0), TRAINING, seed=0, progress=quiet)
    assert max(sizes) <= TRAINING.batch
