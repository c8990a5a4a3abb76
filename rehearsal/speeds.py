"""How fast sites train and how fast their links are: drawn around a median, or what somebody measured.

Knows:    seconds of training for one update, bytes a second up and down.
Imports:  stdlib, schemas.errors.
"""

import csv
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import LocalError

_HEADER = ("site", "train_s", "up_bytes_s", "down_bytes_s")


@dataclass(frozen=True, slots=True)
class Speed:
    """One site: seconds that one update takes to train, and bytes a second of its link, up and down; all above 0."""

    train_s: float
    up_bytes_s: float
    down_bytes_s: float


def drawn(median: Speed, spread: float, seed: int, site: str) -> Speed:
    """A site's own speed: log-normal around `median`, two sites in three within a factor `spread` (1: all alike)."""
    rng = random.Random(f"{seed} {site} speed")  # seeded by text: the same on every machine
    slower, narrower = (spread ** rng.gauss(0, 1) for _ in range(2))
    return Speed(median.train_s * slower, median.up_bytes_s / narrower, median.down_bytes_s / narrower)


def measured(lines: Iterable[str], *, where: str) -> dict[str, Speed]:
    """Speeds by site from a CSV with the header site,train_s,up_bytes_s,down_bytes_s.

    Raises LocalError for another header, a row that is no speed or a site that stands twice, naming the line.
    """
    rows = csv.DictReader(lines)
    if rows.fieldnames is None or sorted(rows.fieldnames) != sorted(_HEADER):
        raise LocalError(
            f"{where}: the header must be {','.join(_HEADER)}, it is `{','.join(rows.fieldnames or ())[:80]}`",
            hint="one row a site, columns separated by commas",
        )
    found: dict[str, Speed] = {}
    for number, row in enumerate(rows, start=2):
        try:
            numbers = [float(row[name] or "") for name in _HEADER[1:]]
        except (TypeError, ValueError):
            numbers = []
        if not numbers or not row["site"] or None in row or not all(0 < value < math.inf for value in numbers):
            raise LocalError(
                f"{where}: line {number} is no site with three numbers above 0",
                hint=f"{','.join(_HEADER)}: a name, seconds, and bytes a second up and down",
            )
        if row["site"] in found:
            raise LocalError(f"{where}: line {number} names {row['site']} a second time")
        found[row["site"]] = Speed(*numbers)
    return found
