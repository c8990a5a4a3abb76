"""Weighted sums: exact, free of order, reversible, and checked against their bounds."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.digests import digest_of
from protocol.fixed_point import (
    Encoding,
    Words,
    add_weighted,
    centred,
    check_range,
    check_sum,
    delta,
    encode,
    examples_index,
    factor,
    sum_digest,
    words,
)
from schemas.errors import PeerError
from schemas.plan import headroom, largest_scale_bits
from tests.vectors import load

VECTORS = load("fixed_point")
SUMS: list[dict[str, Any]] = VECTORS["sums"]
D = 257
weights = st.integers(4, 16)
bits_of = st.sampled_from([32, 64])


def encoding(bits: int = 32, p: int = D) -> Encoding:
    return Encoding(p, 20, 10.0, 1.0, bits)


def bodies(seed: int, n: int, encoding: Encoding) -> tuple[list[NDArray[np.float32]], list[Words]]:
    rng = np.random.default_rng(seed)
    updates = [(rng.normal(size=encoding.p) * 0.1).astype(np.float32) for _ in range(n)]
    return updates, [np.concatenate(list(encode(update, encoding).blocks())) for update in updates]


def empty(encoding: Encoding) -> Words:
    return np.zeros(encoding.d, encoding.word_type)


@given(seed=st.integers(0, 2**32 - 1), bits=bits_of, chosen=st.lists(weights, min_size=1, max_size=40))
def test_the_sum_is_the_plain_weighted_sum_within_rounding(seed: int, bits: int, chosen: list[int]) -> None:
    numbers = encoding(bits)
    updates, encoded = bodies(seed, len(chosen), numbers)
    total = empty(numbers)
    for body, weight in zip(encoded, chosen, strict=True):
        add_weighted(total, body, weight)
    plain = sum(weight * update.astype(np.float64) for weight, update in zip(chosen, updates, strict=True))
    error = np.abs(centred(total) / numbers.scale - plain).max()
    assert error <= sum(chosen) * 0.5 / numbers.scale + 1e-12
    check_sum(total, numbers, 0, sum(chosen))


@given(seed=st.integers(0, 2**32 - 1), bits=bits_of, chosen=st.lists(weights, min_size=2, max_size=12), data=st.data())
def test_order_never_matters(seed: int, bits: int, chosen: list[int], data: st.DataObject) -> None:
    """Neither that of the members, nor that of their chunks."""
    numbers = encoding(bits)
    _, encoded = bodies(seed, len(chosen), numbers)
    total, other = empty(numbers), empty(numbers)
    pieces = [(member, start) for member in range(len(chosen)) for start in (0, 100, 200)]
    for sum_, order in ((total, pieces), (other, data.draw(st.permutations(pieces)))):
        for member, start in order:
            add_weighted(sum_[start : start + 100], encoded[member][start : start + 100], chosen[member])
    assert total.tobytes() == other.tobytes()


@given(seed=st.integers(0, 2**32 - 1), bits=bits_of, kept=weights, gone=weights)
def test_a_member_can_be_taken_out_again(seed: int, bits: int, kept: int, gone: int) -> None:
    numbers = encoding(bits)
    _, (first, second) = bodies(seed, 2, numbers)
    alone, total = empty(numbers), empty(numbers)
    add_weighted(alone, first, kept)
    for body, weight in ((second, gone), (first, kept), (second, -gone)):
        add_weighted(total, body, weight)
    assert total.tobytes() == alone.tobytes()


@given(
    bits=bits_of, weight=st.integers(-16, 16), seed=st.integers(0, 2**32 - 1), length=st.sampled_from([1, 65536, 65543])
)
def test_sums_wrap_modulo_two_to_the_k(bits: int, weight: int, seed: int, length: int) -> None:
    """Masked words are uniform, so every carry must fall off in the same way."""
    rng = np.random.default_rng(seed)
    total = rng.integers(0, 2**bits, length, np.dtype(f"u{bits // 8}"))
    body = rng.integers(0, 2**bits, length, np.dtype(f"u{bits // 8}"))
    at = [0, length // 2, length - 1]
    expected = [(int(total[i]) + weight * int(body[i])) % 2**bits for i in at]
    add_weighted(total, body, weight)
    assert [int(total[i]) for i in at] == expected


@pytest.mark.parametrize("case", SUMS, ids=lambda case: case["name"])
def test_sums_and_what_the_model_gains_are_golden(case: dict[str, Any]) -> None:
    by_examples = case["examples_scale_bits"] is not None
    numbers = Encoding(
        p=8, scale_bits=case["scale_bits"], clip=1.0, clip_inf=1.0,
        auxiliary=(("examples", 1.0, case["examples_scale_bits"]),) if by_examples else (),
        examples="examples" if by_examples else None,
    )  # fmt: skip
    total = empty(numbers)
    for body, weight in case["members"]:
        add_weighted(total, words(bytes.fromhex(body), numbers), weight)
    assert total.tobytes().hex() == case["sum"]
    assert centred(total).tolist() == case["centred"]
    assert sum_digest([total[:3], total[3:]]) == digest_of([bytes.fromhex(case["sum"])])
    at = examples_index(numbers)
    unit = factor(numbers, case["n"], case["sum_w"], None if at is None else int(centred(total)[at]))
    assert struct.pack(">d", unit).hex() == case["unit"]
    change = delta(total[: numbers.p], unit)
    assert change.tobytes().hex() == case["delta"]
    share = {3: 31 / 48, 1: 1 / 4}[case["n"]]
    update = np.frombuffer(bytes.fromhex(VECTORS["update"]), "<f4")
    assert np.abs(change - share * update.astype(np.float64)).max() < 2**-18


@given(bits=bits_of, seed=st.integers(0, 2**32 - 1), length=st.sampled_from([1, 7, 65537]))
def test_the_change_is_the_centred_sum_rounded_once(bits: int, seed: int, length: int) -> None:
    total = np.random.default_rng(seed).integers(0, 2**bits, length, np.dtype(f"u{bits // 8}"))
    unit = 2.0**-20 / 48
    signed = [int(word) - (2**bits if word >= 2 ** (bits - 1) else 0) for word in total[:50]]
    assert centred(total)[:50].tolist() == signed
    expected = np.array([np.float32(float(value) * unit) for value in signed])
    assert delta(total, unit)[:50].tobytes() == expected.tobytes()


def test_a_fresh_cohort_is_the_plain_mean() -> None:
    numbers = encoding()
    updates, encoded = bodies(3, 4, numbers)
    total = empty(numbers)
    for body in encoded:
        add_weighted(total, body, 16)
    mean = np.mean([update.astype(np.float64) for update in updates], axis=0)
    assert np.abs(delta(total, factor(numbers, 4, 64)) - mean).max() < 2**-20


def test_example_weights_that_sum_to_nothing_fail_the_round() -> None:
    numbers = Encoding(3, 20, 1.0, 1.0, auxiliary=(("examples", 1.0, 20),), examples="examples")
    for total in (0, -5):
        with pytest.raises(PeerError) as failed:
            factor(numbers, 3, 48, total)
        assert failed.value.code == "examples"
    with pytest.raises(ValueError, match="exactly when"):
        factor(numbers, 3, 48)
    with pytest.raises(ValueError, match="exactly when"):
        factor(encoding(), 3, 48, 1)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_body_beyond_its_bound_is_refused_at_each_place(bits: int) -> None:
    numbers = Encoding(5, 20, 10.0, 1.5, bits, auxiliary=(("loss", 2.0, 10), ("rate", 0.75, 10)))
    limits = [3 * 2**19] * 5 + [2048, 768]
    for at, limit in enumerate(limits):
        for sign in (1, -1):
            body = np.zeros(7, np.dtype(f"i{bits // 8}"))
            body[at] = sign * limit
            check_range(body.view(numbers.word_type), numbers, 0)
            body[at] += sign
            for offset in range(at + 1):  # blocks that begin anywhere before it
                with pytest.raises(PeerError) as refused:
                    check_range(body[offset:].view(numbers.word_type), numbers, offset)
                assert refused.value.code == "range"


def test_the_most_negative_word_is_out_of_range() -> None:
    for bits in (32, 64):
        numbers = encoding(bits)
        body = np.array([2 ** (bits - 1)], numbers.word_type)
        with pytest.raises(PeerError):
            check_range(body, numbers, 0)


def test_a_body_longer_than_the_plan_or_cut_inside_a_word_is_refused() -> None:
    numbers = encoding()
    with pytest.raises(PeerError, match="more than the 257 words"):
        check_range(np.zeros(2, np.uint32), numbers, 256)
    with pytest.raises(PeerError, match="ends inside a word"):
        words(bytes(7), numbers)
    with pytest.raises(PeerError, match="cannot be added"):
        add_weighted(np.zeros(3, np.uint32), np.zeros(4, np.uint32), 4)
    with pytest.raises(PeerError, match="cannot be added"):
        add_weighted(np.zeros(3, np.uint64), np.zeros(3, np.uint32), 4)


@pytest.mark.parametrize("case", VECTORS["headroom"], ids=str)
def test_the_largest_scale_is_golden(case: dict[str, Any]) -> None:
    cohort, bound, bits = case["cohort_max"], case["clip_inf"], case["modulus_bits"]
    given = {"cohort_max": cohort, "bound": bound, "noise_std": 0.0, "trustees": 0, "modulus_bits": bits}
    assert largest_scale_bits(**given) == case["scale_bits"]
    assert headroom(scale=2.0 ** case["scale_bits"], **given)
    assert not headroom(scale=2.0 ** (case["scale_bits"] + 1), **given)


@pytest.mark.parametrize("case", [c for c in VECTORS["headroom"] if c["cohort_max"] > 1], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_legal_sum_is_accepted_and_one_beyond_fails(case: dict[str, Any], sign: int) -> None:
    numbers = Encoding(1, case["scale_bits"], 1.0, case["clip_inf"], case["modulus_bits"])
    largest = np.array([sign * numbers.limits[0]], np.int64).astype(numbers.word_type)
    total, sum_w = empty(numbers), 16 * case["cohort_max"]
    for _ in range(case["cohort_max"]):
        add_weighted(total, largest, 16)
    assert int(centred(total)[0]) == sign * sum_w * numbers.limits[0]  # nothing wrapped
    check_sum(total, numbers, 0, sum_w)
    total += np.array([sign * sum_w], np.int64).astype(numbers.word_type)
    check_sum(total, numbers, 0, sum_w)
    total += np.array([sign], np.int64).astype(numbers.word_type)
    with pytest.raises(PeerError) as failed:
        check_sum(total, numbers, 0, sum_w)
    assert failed.value.code == "range"
