"""What is written in a table's cells: numbers, one of some words, or text. Only what is written as a number is one.

Knows:    how a number is written (digits 0-9, a sign, a decimal mark, an exponent), and which marks stand for nothing.
Never:    guesses: `1_23`, `0x10`, `1,234.5`, `nan`, `inf` and digits of other scripts are no numbers.
Imports:  numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = ("", "NA", "?")
Cells = tuple[NDArray[Any], NDArray[np.bool_]]  # values (n,), and bool (n,): which cells hold something else
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBERS_SIGNS = re.compile(r"[0-9+.eE-]*")  # of these characters float() takes numbers only, and takes them quickly


def numbers(texts: Sequence[str], missing: Collection[str] = MISSING, decimal: str = ".") -> Cells:
    """float64 (n,), NaN where a cell is missing or no number."""
    if decimal != ".":
        texts = [text if text.strip() in missing else _pointed(text, decimal) for text in texts]
    quick = _quick_numbers(texts, missing)
    values = np.array([_number(text.strip(), missing) for text in texts]) if quick is None else quick
    wrong = np.isinf(values)  # what is no number, and what is too large for one
    values[wrong] = np.nan
    return values, wrong


def codes(texts: Sequence[str], levels: Sequence[str], missing: Collection[str] = MISSING) -> Cells:
    """float64 (n,): which of `levels` each cell is, from 0; NaN where it is missing or none of them."""
    known = dict.fromkeys(missing, math.nan) | {level: float(code) for code, level in enumerate(levels)}
    values = np.array([known.get(text.strip(), -1.0) for text in texts], np.float64)
    wrong = values == -1.0
    values[wrong] = np.nan
    return values, wrong


def words(texts: Sequence[str], missing: Collection[str] = MISSING) -> Cells:
    """object (n,) of str, "" where a cell is missing; every text will do."""
    values = np.empty(len(texts), object)
    values[:] = ["" if text in missing else text for text in map(str.strip, texts)]
    return values, np.zeros(len(texts), np.bool_)


def is_number(text: str, decimal: str = ".") -> bool:
    return bool(NUMBER.fullmatch(_pointed(text.strip(), decimal)))


def _quick_numbers(texts: Sequence[str], missing: Collection[str]) -> NDArray[np.float64] | None:
    """The whole column at once; None when a cell has to be looked at by itself."""
    if not _NUMBERS_SIGNS.fullmatch("".join(text for text in texts if text not in missing)):
        return None
    try:
        return np.array([math.nan if text in missing else float(text) for text in texts], np.float64)
    except ValueError:
        return None


def _number(text: str, missing: Collection[str]) -> float:
    """The number; NaN for a missing one, infinity for none."""
    if text in missing:
        return math.nan
    return float(text) if NUMBER.fullmatch(text) else math.inf


def _pointed(text: str, decimal: str) -> str:
    """A number with a decimal point; one that has a point already where commas are meant is none."""
    if decimal == ".":
        return text
    return "no number" if "." in text and is_number(text) else text.replace(decimal, ".")
