"""IEEE 754 by the book: exact fractions, rounded to float32 or float64 once, ties to even. No numpy, no hardware."""

import hashlib
import math
import struct
from fractions import Fraction


def rounded(value: Fraction, *, digits: int, exponent_min: int) -> Fraction:
    """The nearest number with `digits` binary digits whose last one is worth at least 2**exponent_min."""
    if value == 0:
        return value
    size = abs(value)
    top = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** top:
        top -= 1
    unit = Fraction(2) ** max(top - digits + 1, exponent_min)
    return round(value / unit) * unit  # Fraction's round is ties to even


def f32(value: Fraction) -> Fraction:
    return rounded(value, digits=24, exponent_min=-149)


def f64(value: Fraction) -> Fraction:
    return rounded(value, digits=53, exponent_min=-1074)


def f32_root(value: Fraction) -> Fraction:
    """The square root of a float32, rounded once."""
    shift = 200
    scaled = value * 4**shift
    root = math.isqrt(scaled.numerator // scaled.denominator)
    inexact = Fraction(root) ** 2 != scaled
    # a sticky half below 200 binary digits: it can break a tie, and change nothing else
    return f32((Fraction(root) + Fraction(1 if inexact else 0, 2)) / 2**shift)


def f32_hex(values: list[Fraction]) -> str:
    """float32 little-endian."""
    return b"".join(struct.pack("<f", float(value)) for value in values).hex()


def floats(name: str, count: int, *, size: float) -> list[Fraction]:
    """`count` float32 within +-size, from SHA-256 of the name and a counter."""
    found = []
    for index in range(count):
        word = int.from_bytes(hashlib.sha256(f"{name}/{index}".encode()).digest()[:8], "big")
        found.append(f32((Fraction(word, 2**63) - 1) * Fraction(size)))
    return found
