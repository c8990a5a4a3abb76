"""Make fixed_point.json: updates, their words, weighted sums and what the model gains, in exact arithmetic.

Run once, from the repository's root: python -m tests.vectors.make_fixed_point
"""

import json
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tests.vectors import FOLDER
from tests.vectors.exact_floats import f32, f32_hex, f64, floats

OUT = FOLDER / "fixed_point.json"
Auxiliary = tuple[str, float, int, float]  # name, bound, scale bits, value


def words(values: Sequence[int], bits: int = 32) -> str:
    """Two's complement, little-endian."""
    return b"".join((value % 2**bits).to_bytes(bits // 8, "little") for value in values).hex()


def quantise(
    vector: list[Fraction], bits: int, clip: float, clip_inf: float, auxiliary: Sequence[Auxiliary], share: Fraction
) -> tuple[list[int], bool]:
    """Section 3, step 2; returns the integers and whether the L2 clip was active."""
    s = Fraction(2) ** bits
    norm = share * f64(Fraction(math.sqrt(math.fsum(float(value) ** 2 for value in vector))))
    most = Fraction(clip * (1 - 2**-20) - math.sqrt(len(vector)) / (2 * 2.0**bits))
    shrink = min(Fraction(1), most / norm) if norm else Fraction(1)
    limit = math.floor(s * Fraction(clip_inf))
    q = [max(-limit, min(limit, round(value * share * shrink * s))) for value in vector]
    for _, bound, aux_bits, value in auxiliary:
        top = math.floor(Fraction(2) ** aux_bits * Fraction(bound))
        q.append(max(-top, min(top, round(Fraction(value) * Fraction(2) ** aux_bits))))
    return q, shrink < 1


def encode_case(
    name: str, vector: list[Fraction], bits: int, clip: float, clip_inf: float, auxiliary: Sequence[Auxiliary] = (),
    *, examples: str | None = None, modulus_bits: int = 32,
) -> dict[str, Any]:  # fmt: skip
    share = next((Fraction(value) for aux, _, _, value in auxiliary if aux == examples), Fraction(1))
    q, clipped = quantise(vector, bits, clip, clip_inf, auxiliary, share)
    return {
        "name": name, "vector": f32_hex(vector), "scale_bits": bits, "clip": clip, "clip_inf": clip_inf,
        "modulus_bits": modulus_bits, "auxiliary": [[aux, bound, aux_bits] for aux, bound, aux_bits, _ in auxiliary],
        "values": {aux: value for aux, _, _, value in auxiliary}, "examples": examples,
        "clipped": clipped, "q": q, "words": words(q, modulus_bits),
    }  # fmt: skip


def encode_cases() -> list[dict[str, Any]]:
    ties = [Fraction(value, 32) for value in (1, 3, 5, -1, -3, -5, 7, -7, 0)]
    small = floats("small", 40, size=0.01)
    large = [Fraction(value) for value in (3, -4, 0, 12)]
    aux: list[Auxiliary] = [("examples", 1.0, 20, 0.25), ("loss", 2.0, 10, -1.00048828125)]
    return [
        encode_case("ties go to the even neighbour", ties, 4, 4.0, 4.0),
        encode_case("nothing is clipped", small, 20, 1.0, 1.0),
        encode_case("the L2 clip is active", large, 20, 1.0, 1.0),
        encode_case("the L2 clip and the clamp are active", large, 20, 1.0, 0.5),
        encode_case("the clamp alone is active", [Fraction(1, 2), Fraction(-1, 2), Fraction(1, 16)], 20, 1.0, 0.125),
        encode_case("zero vector", [Fraction(0)] * 5, 20, 1.0, 1.0),
        encode_case("the smallest float32", [Fraction(2) ** -149, -(Fraction(2) ** -149)], 20, 1.0, 1.0),
        encode_case("auxiliary coordinates", small, 20, 1.0, 1.0, [("loss", 2.0, 10, 1.5), ("far", 2.0, 10, -7.0)]),
        encode_case("example weight", small, 20, 1.0, 1.0, aux, examples="examples"),
        encode_case("example weight and L2 clip", large, 20, 1.0, 1.0, aux, examples="examples"),
        encode_case("64 bits", small, 40, 1.0, 1.0, modulus_bits=64),
        encode_case("a negative scale", [Fraction(value) for value in (96, 160, 4096)], -5, 65536.0, 65536.0),
    ]


def sum_case(name: str, members: list[tuple[list[int], int]], bits: int, aux_bits: int | None) -> dict[str, Any]:
    """Members are (q, weight); with `aux_bits` the last word carries the example weights."""
    n, sum_w = len(members), sum(weight for _, weight in members)
    total = [sum(weight * q[at] for q, weight in members) for at in range(len(members[0][0]))]
    if aux_bits is None:
        unit = f64(1 / (Fraction(2) ** bits * 16 * n))
    else:
        above = f64(Fraction(sum_w) * Fraction(2) ** aux_bits)
        unit = f64(above / f64(f64(f64(Fraction(total[-1])) * Fraction(2) ** bits) * 16 * n))
    parameters = total if aux_bits is None else total[:-1]
    return {
        "name": name, "scale_bits": bits, "examples_scale_bits": aux_bits, "n": n, "sum_w": sum_w,
        "members": [[words(q), weight] for q, weight in members], "sum": words(total), "centred": total,
        "unit": struct.pack(">d", float(unit)).hex(),
        "delta": f32_hex([f32(f64(unit * value)) for value in parameters]),
    }  # fmt: skip


def sum_cases() -> list[dict[str, Any]]:
    update = floats("update", 8, size=0.1)
    bits, aux_bits = 20, 20

    def member(share: Fraction | None) -> list[int]:
        aux: list[Auxiliary] = [] if share is None else [("examples", 1.0, aux_bits, float(share))]
        return quantise(update, bits, 1.0, 1.0, aux, Fraction(1) if share is None else share)[0]

    weights = (16, 11, 4)
    shares = (Fraction(1), Fraction(1, 2), Fraction(1, 4))
    return [
        sum_case("three equal updates: 31/48 of it", [(member(None), weight) for weight in weights], bits, None),
        sum_case(
            "three equal updates by examples: 31/48 of it",
            [(member(share), weight) for share, weight in zip(shares, weights, strict=True)], bits, aux_bits,
        ),
        sum_case("one site alone at weight 4: a quarter of it", [(member(None), 4)], bits, None),
    ]  # fmt: skip


def main() -> None:
    update = floats("update", 8, size=0.1)
    # 16 * cohort_max * (2**f * bound + 1) < 2**(k - 1), in whole numbers
    headroom = [
        {"cohort_max": cohort, "clip_inf": bound, "modulus_bits": bits, "scale_bits": largest(cohort, bound, bits)}
        for bits, bound in ((32, 1.0), (32, 0.125), (64, 1.0))
        for cohort in (1, 10, 16, 64, 500)
    ]
    content = {
        "comment": "made by make_fixed_point.py; vectors float32 and words little-endian, `unit` float64 big-endian",
        "encode": encode_cases(), "update": f32_hex(update), "sums": sum_cases(), "headroom": headroom,
    }  # fmt: skip
    OUT.write_text(json.dumps(content, indent=1) + "\n")


def largest(cohort: int, bound: float, bits: int) -> int:
    return max(f for f in range(-10, bits) if 16 * cohort * (Fraction(2) ** f * Fraction(bound) + 1) < 2 ** (bits - 1))


if __name__ == "__main__":
    main()
