"""`make soak SEEDS=…`: as many histories as one likes, on all cores; what breaks is printed as short as can be made.

    python -m simulation.soak 100000          seeds 0 to 99999
    python -m simulation.soak 5000-6000       these seeds
    python -m simulation.soak 4711            with --one: this very history, and what breaks in it

Exit code 1 when a history has a breach. This file is a command: it alone in this room shows progress.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator

from simulation.histories import History, broken, draw, shrink
from simulation.plans import PLANS
from simulation.verdict import Broken

CHUNK = 25
SHOWN_MAX = 5
PERIOD_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulation.soak", description="Play histories with faults.")
    parser.add_argument("seeds", help="how many, or FROM-TO")
    parser.add_argument("--one", action="store_true", help="play one history: the seed that is given")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    given = parser.parse_args(arguments)
    try:
        seeds = _seeds(given.seeds, one=given.one)
    except ValueError:
        parser.error(f"`{given.seeds}` is neither a number nor FROM-TO, such as 5000-6000")
    failures = list(_soak(seeds, max(1, given.processes)))
    for seed, breach in failures[:SHOWN_MAX]:
        _show(seed, breach)
    _say(f"{len(seeds)} histories, {len(failures)} broken")
    return 1 if failures else 0


def _seeds(text: str, *, one: bool) -> range:
    first, dash, last = text.partition("-")
    if one:
        return range(int(text), int(text) + 1)
    return range(int(first), int(last)) if dash else range(int(first))


def _soak(seeds: range, processes: int) -> Iterator[tuple[int, str]]:
    """(seed, breach) of what breaks, with a line of progress now and then."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    done, shown_s, began_s = 0, time.monotonic(), time.monotonic()
    with multiprocessing.Pool(min(processes, max(1, len(chunks)))) as pool:
        for number, failures in pool.imap_unordered(_play, chunks):
            done += number
            for seed, breach in failures:
                _say(f"seed {seed} has the breach `{breach}`")
                yield seed, breach
            if time.monotonic() - shown_s >= PERIOD_S:
                shown_s = time.monotonic()
                _say(f"{done} of {len(seeds)} histories, {done / (shown_s - began_s):.0f} a second")


def _play(seeds: Iterable[int]) -> tuple[int, list[tuple[int, str]]]:
    found = [(seed, broken(draw(seed, PLANS), PLANS)) for seed in seeds]
    return len(found), [(seed, one.breach) for seed, one in found if one is not None]


def _show(seed: int, breach: str) -> None:
    """Make the history short, and print it as a value that a test can play."""
    history = draw(seed, PLANS)
    plan = PLANS[history.plan]

    def fails(other: History) -> bool:
        found = broken(other, PLANS)
        return found is not None and found.breach == breach

    short = shrink(history, plan.aggregation.goal, fails)
    found = broken(short, PLANS)
    assert isinstance(found, Broken)
    _say(f"seed {seed}: {found}")
    _say(f"  {len(history.faults)} faults and {history.sites} sites, made as short as this:")
    _say(f"  {short!r}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
