"""Orders to a participant on this machine, and its answer.

Knows:    an order is a wish in the data folder; a service that runs takes it within a second, another at its start.
          `forget` alone changes site.db itself, while no service runs.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from participant.shell.control import SiteState, Wish, changing, check_folder, is_running, read_state
from participant.shell.database import hint_of, in_words
from participant.shell.store import Store
from runtime.lock import FolderLock
from schemas.errors import LocalError

ANSWER_S = 10.0
TOLD_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order.

    running   whether a service runs at all; taken: whether it has taken the order
    state     how it stands now, None when no service has ever run here
    """

    wish: Wish
    running: bool
    taken: bool
    state: SiteState | None


Change = Callable[[Wish, str | None], Wish]


def pause(wish: Wish, study: str | None) -> Wish:
    """Pause one study, or all and those to come."""
    if study is None:
        return replace(wish, all=True, studies=())
    return wish if wish.all else replace(wish, studies=tuple(sorted({*wish.studies, study})))


def resume(wish: Wish, study: str | None) -> Wish:
    """Go on with one study, or with everything. Raises LocalError when one alone cannot go on."""
    if study is None:
        return replace(wish, all=False, studies=(), leaving=False)
    if wish.all or wish.leaving:
        raise LocalError(
            f"the whole site is {'leaving' if wish.leaving else 'paused'}, so {study} cannot go on by itself",
            hint="resume without a study, then pause what shall stay paused",
        )
    return replace(wish, studies=tuple(name for name in wish.studies if name != study))


def leave(wish: Wish, study: str | None) -> Wish:
    """Take the site out."""
    return replace(wish, leaving=True)


def order(folder: Path, change: Change, study: str | None = None, *, answer_s: float = ANSWER_S) -> Answer:
    """Change what is wanted, and wait for a running service to take it.

    Raises LocalError for a study that the service does not know, and a folder that is no participant's.
    """
    with changing(folder) as wish:
        _check_known(folder, study)
        wish[0] = replace(change(wish[0], study), serial=wish[0].serial + 1)
    wanted, until_s = wish[0], time.monotonic() + answer_s
    while True:
        state, running = read_state(folder), is_running(folder)
        taken = state is not None and state.serial >= wanted.serial
        if taken or not running or time.monotonic() >= until_s:
            return Answer(wanted, running, taken, state)
        time.sleep(0.05)


def forget(folder: Path, site: str, study: str) -> tuple[int, ...]:
    """Forget what a study's log said, see Store.forget; returns the sequences of the updates given up.

    Raises LocalError while a service runs, for a study that is not known, and a folder that is no participant's.
    """
    check_folder(folder)
    with FolderLock(folder):
        store = Store(folder, site)
        try:
            return store.forget(study, lambda row: folder / "outbox" / f"{row.study}.{row.sequence}")
        except sqlite3.Error as error:
            raise LocalError(in_words(error, store.path), hint=f"{hint_of(error)}; then run this again") from None
        finally:
            store.close()


def _check_known(folder: Path, study: str | None) -> None:
    """A service tells of a study that has just begun within a second: it is waited for."""
    if study is None:
        return
    until_s = time.monotonic() + TOLD_S
    while study not in (known := _known(folder)):
        if not is_running(folder) or time.monotonic() >= until_s:
            raise LocalError(
                f"this participant has no study {study}",
                hint=f"its studies: {', '.join(known)}" if known else "it has not begun any study yet",
            )
        time.sleep(0.05)


def _known(folder: Path) -> list[str]:
    state = read_state(folder)
    return [one.study for one in state.studies] if state is not None else []
