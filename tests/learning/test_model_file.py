"""A model as a file: what goes in comes out, the same model gives the same bytes, what is damaged is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import nn

from learning.model_file import KEY, ModelHeader, check_state, read_model, write_model
from protocol.digests import digest_of
from schemas.errors import LocalError
from tests.learning.toy import Normed, Toy
from tests.wardround.tasks.small import Small

VECTOR = np.arange(6, dtype=np.float32)
HEADER = ModelHeader(
    study="lung",
    title="Überleben",
    plan="1" * 64,
    version=3,
    model=digest_of([VECTOR.tobytes()]).hex(),
    parameters=6,
    task="studies.lung.task:task",
    code="2" * 64,
    metric="c-index",
    higher_is_better=True,
    value=0.71,
    judged_by=2,
    sites=("site-1", "site-2"),
)
STATE = {"a.weight": VECTOR[:4].reshape(2, 2), "a.bias": VECTOR[4:]}


def written(folder: Path) -> Path:
    write_model(folder / "model.safetensors", STATE, HEADER)
    return folder / "model.safetensors"


def test_header_and_state_come_back_as_they_were_written(tmp_path: Path) -> None:
    header, state = read_model(written(tmp_path))
    assert header == HEADER
    assert state.keys() == STATE.keys()
    for name, array in STATE.items():
        np.testing.assert_array_equal(state[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_same_model_gives_the_same_bytes_to_everybody(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()
    assert all(written(tmp_path).read_bytes() == first for _ in range(3))


def test_the_file_is_laid_out_as_the_safetensors_format_says(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    listed = json.loads(content[8 : 8 + length])
    assert json.loads(listed.pop("__metadata__")[KEY])["format"] == "wardround-model-1"
    assert listed == {
        "a.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]},
    }
    assert content[8 + length :] == VECTOR[4:].tobytes() + VECTOR[:4].tobytes()


class Scaled(Toy):
    """With a parameter that is one number, of no dimension."""

    def model(self) -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 2))
        model.register_parameter("scale", nn.Parameter(torch.tensor(0.5)))
        return model


@pytest.mark.parametrize("task", [Toy(), Normed(), Scaled()])
def test_torch_takes_the_exported_state_of_every_model(task: Toy, tmp_path: Path) -> None:
    vector = task.initial(7)
    write_model(tmp_path / "m.safetensors", task.state(vector), HEADER)
    model = task.model()
    model.load_state_dict(load_file(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(task.vector_of(read_model(tmp_path / "m.safetensors")[1]), vector)
    with torch.no_grad():
        wanted = model.eval()(torch.ones(2, 3)).numpy()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert np.isfinite(wanted).all()
    np.testing.assert_array_equal(task.vector_of(state), vector)


def test_tied_parameters_stand_under_both_names_and_come_back_once(tmp_path: Path) -> None:
    class Tied(Toy):
        def model(self) -> nn.Module:
            model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
            model[1].weight = model[0].weight
            return model

    task = Tied()
    vector = task.initial(1)
    assert task.state(vector).keys() == {"0.weight", "0.bias", "1.weight", "1.bias"}
    np.testing.assert_array_equal(task.vector_of(task.state(vector)), vector)


def test_a_task_without_names_has_one_tensor() -> None:
    task = Small()
    vector = task.initial(0)
    assert list(task.state(vector)) == ["parameters"]
    np.testing.assert_array_equal(task.vector_of(task.state(vector)), vector)
    with pytest.raises(LocalError, match="holds no parameters"):
        task.vector_of({"weights": vector})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"0.weight": np.zeros((5, 4), np.float32)}, r"0.weight is float32 \(5, 4\) in the state, float32 \(5, 3\)"),
        ({"0.weight": np.zeros((5, 3))}, "0.weight is float64"),
        ({"0.weight": None}, "the state has no 0.weight"),
    ],
)
def test_the_state_of_another_model_is_refused_by_the_tensor_that_differs(
    change: dict[str, np.ndarray | None], said: str
) -> None:
    task = Toy()
    state = {**task.state(task.initial(0)), **change}
    with pytest.raises(LocalError, match=said):
        task.vector_of({name: array for name, array in state.items() if array is not None})


@given(bit=st.integers(0, 6 * 32 - 1))
def test_a_weight_of_which_one_bit_was_changed_is_found(bit: int) -> None:
    changed = np.frombuffer((int.from_bytes(VECTOR.tobytes(), "little") ^ 1 << bit).to_bytes(24, "little"), np.float32)
    check_state(VECTOR, HEADER, where="m")
    with pytest.raises(LocalError, match="does not hold the model that its header names"):
        check_state(changed, HEADER, where="m")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({"format": "wardround-model-2"}),
        json.dumps({"format": "wardround-model-1", "study": "lung"}),
        HEADER.to_text().replace('"version": 3', '"version": "3"'),
        HEADER.to_text().replace("1" * 64, "1" * 63),
        HEADER.to_text().replace('"value": 0.71', '"value": NaN'),
        HEADER.to_text().replace('"site-1"', "1"),
    ],
)
def test_a_header_that_is_not_whole_is_refused(text: str, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "m.safetensors", metadata={KEY: text})
    with pytest.raises(LocalError, match="header"):
        read_model(tmp_path / "m.safetensors")


def test_files_of_others_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(LocalError, match="cannot be read"):
        read_model(path)
    save_file(STATE, path)
    with pytest.raises(LocalError, match="not exported by wardround"):
        read_model(path)
    for content in (b"", b"age,ill\n1,0\n", path.read_bytes()[:-1], (1 << 62).to_bytes(8, "little") + b"{}"):
        path.write_bytes(content)
        with pytest.raises(LocalError, match="no whole safetensors file"):
            read_model(path)


def test_nothing_is_left_where_a_file_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be written"):
        write_model(Path("/proc/nowhere/m.safetensors"), STATE, HEADER)
    with pytest.raises(LocalError, match="cannot be written"):
        write_model(tmp_path, STATE, HEADER)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalError, match="no plain file"):
        write_model(tmp_path / "pipe", STATE, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_header_without_a_measurement_comes_back_too() -> None:
    header = replace(HEADER, value=None, judged_by=0, sites=())
    assert ModelHeader.from_text(header.to_text(), where="m") == header
