"""When a site's link is up: built-in profiles, drawn from a seed, or what somebody measured.

Knows:    windows of connection in whole milliseconds from the study's beginning, in order, never touching.
Never:    reads a file or a clock; the same seed and site give the same windows.
Imports:  stdlib, schemas.errors.
"""

import csv
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from schemas.errors import LocalError
from simulation.clock import NEVER_MS

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000

Window = tuple[int, int]  # connected from .. to, ms; `to` is the first moment without a link
Windows = tuple[Window, ...] | None  # as SiteSpec takes them; None: always connected


def steady(seed: int, site: str) -> Iterator[Window]:
    """Always connected."""
    yield 0, NEVER_MS


def nightly(seed: int, site: str) -> Iterator[Window]:
    """Connected four hours each night; a site's window begins between 20:00 and 02:00, and at noon the study does."""
    rng = _random(seed, site, "nightly")
    begins = 8 * HOUR + rng.randrange(6 * HOUR)
    day = 0
    while True:
        start = day * DAY + begins
        yield start, start + 4 * HOUR
        day += 1


def flapping(seed: int, site: str) -> Iterator[Window]:
    """A clinic's line: up for ten minutes in the mean, then down for thirty, both exponential."""
    rng = _random(seed, site, "flapping")
    up = rng.random() < 0.25  # the share of time that the line is up
    now = 0
    while True:
        length = _exponential(rng, 600 * SECOND if up else 1800 * SECOND)
        if up:
            yield now, now + length
        now, up = now + length, not up


def week_away(seed: int, site: str) -> Iterator[Window]:
    """Always connected, but one site in four is away for seven days, from a drawn moment of the first week on."""
    rng = _random(seed, site, "week-away")
    if rng.random() >= 0.25:
        yield 0, NEVER_MS
        return
    leaves = rng.randrange(SECOND, 7 * DAY)
    yield 0, leaves
    yield leaves + 7 * DAY, NEVER_MS


PROFILES: Mapping[str, Callable[[int, str], Iterator[Window]]] = {
    "steady": steady,
    "nightly": nightly,
    "flapping": flapping,
    "week-away": week_away,
}


def windows(name: str, seed: int, site: str, until_ms: int) -> Windows:
    """One site's windows under a built-in profile, up to `until_ms`. Raises LocalError for a name that is none."""
    if name not in PROFILES:
        raise LocalError(f"there is no trace `{name}`", hint=f"built in: {', '.join(PROFILES)}; or name a CSV file")
    found = []
    for start, end in PROFILES[name](seed, site):
        if start >= until_ms:
            break
        found.append((start, end if end == NEVER_MS else min(end, until_ms)))
    return None if found == [(0, NEVER_MS)] else tuple(found)


def measured(lines: Iterable[str], *, where: str) -> dict[str, tuple[Window, ...]]:
    """Windows by site from a CSV with the header site,from_s,to_s: when each site was connected, in seconds.

    Windows may touch or overlap and stand in any order; after its last one a site stays away.
    Raises LocalError for another header and for rows that are no window, naming the first line.
    """
    rows = csv.DictReader(lines)
    if rows.fieldnames is None or sorted(rows.fieldnames) != ["from_s", "site", "to_s"]:
        raise LocalError(
            f"{where}: the header must be site,from_s,to_s, it is `{','.join(rows.fieldnames or ())[:80]}`",
            hint="one row a window of connection, columns separated by commas",
        )
    found: dict[str, list[Window]] = {}
    for number, row in enumerate(rows, start=2):
        window = _window(row)
        if window is None:
            raise LocalError(
                f"{where}: line {number} is no window of connection",
                hint="site,from_s,to_s: a name and two numbers of seconds, 0 <= from_s < to_s",
            )
        found.setdefault(str(row["site"]), []).append(window)
    return {site: _merged(windows) for site, windows in found.items()}


def _random(seed: int, site: str, purpose: str) -> random.Random:
    return random.Random(f"{seed} {site} {purpose}")  # seeded by text: the same on every machine


def _exponential(rng: random.Random, mean_ms: int) -> int:
    return max(SECOND, round(-mean_ms * math.log(1 - rng.random())))


def _window(row: Mapping[str, str | None]) -> Window | None:
    try:
        start_s, end_s = float(row["from_s"] or ""), float(row["to_s"] or "")
    except (TypeError, ValueError):
        return None
    if not row["site"] or None in row or not 0 <= start_s < end_s < NEVER_MS / 1000:
        return None
    window = round(start_s * 1000), round(end_s * 1000)
    return window if window[0] < window[1] else None


def _merged(windows: Sequence[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)
