"""Encoding an update: golden words, bounds that hold for every vector, and what is no update."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from protocol.fixed_point import Encoding, EncodingError, Floats, check_range, encode, norm2
from schemas.errors import LocalError
from schemas.records import CHUNK_BYTES
from tests.vectors import load

CASES: list[dict[str, Any]] = load("fixed_point")["encode"]
FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
vectors = hnp.arrays(np.float32, st.integers(1, 300), elements=FINITE)


def from_hex(text: str) -> Floats:
    return np.frombuffer(bytes.fromhex(text), "<f4")


def encoding_of(case: dict[str, Any]) -> Encoding:
    return Encoding(
        p=len(from_hex(case["vector"])),
        scale_bits=case["scale_bits"],
        clip=case["clip"],
        clip_inf=case["clip_inf"],
        modulus_bits=case["modulus_bits"],
        auxiliary=tuple((name, bound, bits) for name, bound, bits in case["auxiliary"]),
        examples=case["examples"],
    )


def integers(vector: Floats, encoding: Encoding, values: dict[str, float] | None = None) -> NDArray[np.int64]:
    signed = "<i4" if encoding.modulus_bits == 32 else "<i8"
    return np.concatenate(list(encode(vector, encoding, values).blocks())).view(signed).astype(np.int64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_words_of_an_update_are_golden(case: dict[str, Any]) -> None:
    encoded = encode(from_hex(case["vector"]), encoding_of(case), case["values"])
    assert b"".join(block.tobytes() for block in encoded.blocks()).hex() == case["words"]
    assert encoded.clipped is case["clipped"]


@given(vector=vectors, clip=st.sampled_from([0.125, 1.0, 3.0, 1e6]), tight=st.sampled_from([1, 8, 100]))
def test_no_update_is_longer_than_the_clip_or_outside_the_clamp(vector: Floats, clip: float, tight: int) -> None:
    bits = math.ceil(math.log2(50 * math.sqrt(len(vector)) / clip))
    encoding = Encoding(len(vector), bits, clip, clip / tight, modulus_bits=64)
    q = integers(vector, encoding)
    assert sum(int(word) ** 2 for word in q) <= (encoding.scale * clip) ** 2
    assert np.abs(q).max() <= math.floor(encoding.scale * clip / tight)
    for block in encode(vector, encoding).blocks():
        check_range(block, encoding, 0)


@given(vector=hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-(2.0**-7), 2.0**-7, width=32)))
def test_what_is_not_clipped_is_off_by_at_most_half_a_step(vector: Floats) -> None:
    encoded = encode(vector, Encoding(len(vector), 20, 1.0, 1.0))
    assert not encoded.clipped
    q = integers(vector, encoded.encoding)
    assert np.abs(q / 2.0**20 - vector.astype(np.float64)).max() <= 2.0**-21


@given(vector=vectors, weight=st.floats(0.001, 1))
def test_the_norm_is_that_of_the_weighted_update(vector: Floats, weight: float) -> None:
    encoding = Encoding(len(vector), 20, 1.0, 1.0, auxiliary=(("examples", 1.0, 20),), examples="examples")
    expected = weight * math.sqrt(math.fsum(float(value) ** 2 for value in vector))
    assert encode(vector, encoding, {"examples": weight}).norm == pytest.approx(expected, rel=1e-12)


def test_norm2_of_blocks_is_that_of_the_whole() -> None:
    vector = np.random.default_rng(0).normal(size=200_001).astype(np.float32)
    assert norm2([vector[:7], vector[7:]]) == pytest.approx(norm2([vector]), rel=1e-12)
    assert norm2([]) == 0


@pytest.mark.parametrize("bits", [32, 64])
def test_blocks_are_the_chunks_of_a_body_and_can_be_asked_for_twice(bits: int) -> None:
    words = CHUNK_BYTES * 8 // bits
    encoding = Encoding(words - 1, 20, 1e6, 1.0, bits, auxiliary=(("a", 1.0, 20), ("b", 1.0, 20)))
    vector = np.zeros(encoding.p, np.float32)
    vector[-1] = 1.0
    encoded = encode(vector, encoding, {"a": 0.5, "b": -0.25})
    blocks = list(encoded.blocks())
    assert [block.nbytes for block in blocks] == [CHUNK_BYTES, bits // 8]
    assert sum(block.nbytes for block in blocks) == encoding.body_bytes
    assert [int(word) for word in blocks[0][-2:]] == [2**20, 2**19]
    assert int(blocks[1][0]) == 2**bits - 2**18
    assert [block.tobytes() for block in encoded.blocks()] == [block.tobytes() for block in blocks]


def test_all_auxiliary_words_may_lie_in_a_block_of_their_own() -> None:
    encoding = Encoding(CHUNK_BYTES // 4, 10, 1e6, 1.0, auxiliary=(("a", 1.0, 20),))
    blocks = list(encode(np.zeros(encoding.p, np.float32), encoding, {"a": 1.0}).blocks())
    assert [list(block) for block in blocks[1:]] == [[2**20]]
    check_range(blocks[1], encoding, encoding.p)


def test_a_memmap_is_encoded_like_an_array(tmp_path: Path) -> None:
    vector = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    vector.tofile(tmp_path / "update")
    mapped = np.memmap(tmp_path / "update", np.float32, "r")
    encoding = Encoding(1000, 20, 1.0, 1.0)
    assert np.array_equal(integers(mapped, encoding), integers(vector, encoding))


@given(
    vector=hnp.arrays(np.float32, 20, elements=st.floats(-1, 1, width=32)),
    at=st.integers(0, 19),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_an_update_that_is_not_finite_is_never_encoded(vector: Floats, at: int, bad: float) -> None:
    vector[at] = bad
    with pytest.raises(EncodingError, match="NaN or infinity"):
        encode(vector, Encoding(20, 20, 1.0, 1.0))


def test_the_largest_float32_is_clipped_not_refused() -> None:
    vector = np.full(10, np.finfo(np.float32).max, np.float32)
    q = integers(vector, Encoding(10, 20, 1.0, 1.0))
    assert len(set(q)) == 1
    assert math.sqrt(10) * q[0] == pytest.approx(2**20, rel=1e-4)


def test_wrong_input_is_named() -> None:
    encoding = Encoding(3, 20, 1.0, 1.0, auxiliary=(("examples", 1.0, 20),), examples="examples")
    good = np.zeros(3, np.float32)
    wrong: list[NDArray[Any]] = [np.zeros(4, np.float32), np.zeros(3), np.zeros((3, 1), np.float32)]
    for vector in wrong:
        with pytest.raises(EncodingError, match="3 float32 parameters"):
            encode(vector, encoding, {"examples": 1.0})
    for values in ({}, {"example": 1.0}, {"examples": 1.0, "loss": 0.0}):
        with pytest.raises(EncodingError, match="the plan asks for"):
            encode(good, encoding, values)
    for share in (0.0, -0.5, 1.01, math.nan):
        with pytest.raises(EncodingError, match=r"must lie in 0\.\.1") as refused:
            encode(good, encoding, {"examples": share})
        assert "examples_max" in refused.value.hint
    loss = Encoding(3, 20, 1.0, 1.0, auxiliary=(("loss", 1.0, 20),))
    with pytest.raises(LocalError, match="`loss` is not finite"):
        encode(good, loss, {"loss": math.nan})


@pytest.mark.parametrize(
    "numbers",
    [
        {"modulus_bits": 16},
        {"p": 0},
        {"scale_bits": 31},
        {"scale_bits": -1, "p": 4},
        {"auxiliary": (("a", 4.0, 29),)},
        {"examples": "nothing"},
    ],
)
def test_numbers_that_cannot_be_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"modulus|clip|bound|examples"):
        Encoding(**{"p": 3, "scale_bits": 20, "clip": 1.0, "clip_inf": 1.0, **numbers})


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_clamp_is_skipped_only_where_it_is_idle(seed: int) -> None:
    """The encoder looks at the peak to spare itself a pass; plain arithmetic on every word says the same."""
    rng = np.random.default_rng(seed)
    encoding = Encoding(500, 24, 1.0, 0.125)
    vector = (rng.normal(size=500) * rng.choice([0.004, 0.01, 0.05])).astype(np.float32)
    encoded = encode(vector, encoding)
    shrink = min(1.0, encoding.clip_l2 / encoded.norm)
    expected = np.clip(np.rint(vector.astype(np.float64) * (shrink * encoding.scale)), -(2**21), 2**21)
    assert np.array_equal(integers(vector, encoding), expected.astype(np.int64))
