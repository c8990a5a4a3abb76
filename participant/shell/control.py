"""What the operator wants of this participant, and how it stands: two small files in the data folder.

Knows:    `wish.json` says what is wanted (a state, not a queue of orders: it survives restarts, and waits for a service
          that is not running); `state.json` is the service's answer. Both are read and replaced whole, mode 0600.
Never:    listens on anything; who may write the data folder may command the participant, nobody else.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from participant.shell.body import sync_folder
from runtime.disk import open_plain, said, to_do
from schemas.errors import LocalError

WISH, STATE = "wish.json", "state.json"
_SIZE_MAX = 1024 * 1024
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("serial", "pid", "undecided", "unsent"), int),
    **dict.fromkeys(("all", "leaving", "left"), bool),
    **dict.fromkeys(("study", "state", "held"), str),
    "studies": tuple,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants.

    serial   rises with every order; the service's answer names the one it has taken
    all      whether every study is paused, those to come too; `studies` are paused beside that
    leaving  whether the site takes its leave
    """

    serial: int = 0
    all: bool = False
    studies: tuple[str, ...] = ()
    leaving: bool = False

    def pauses(self, study: str) -> bool:
        return self.all or study in self.studies


@dataclass(frozen=True, slots=True)
class StudyState:
    """How one study stands: `undecided` updates in the outbox, `unsent` of them not offered yet."""

    study: str
    state: str
    held: str = ""
    undecided: int = 0
    unsent: int = 0


@dataclass(frozen=True, slots=True)
class SiteState:
    """The service's answer: the process, the wish it has taken, whether it has left, its studies."""

    pid: int
    serial: int
    left: bool = False
    studies: tuple[StudyState, ...] = ()


def read_wish(folder: Path) -> Wish:
    """What is wanted; a fresh folder wants nothing. Raises LocalError when the file holds no wish."""
    values = _read(folder / WISH)
    if values is None:
        return Wish()
    try:
        wish = Wish(**{**values, "studies": tuple(values["studies"])})
        if not _typed(wish) or not all(isinstance(study, str) for study in wish.studies):
            raise TypeError
    except (TypeError, KeyError):
        raise _unreadable(folder / WISH) from None
    return wish


def read_state(folder: Path) -> SiteState | None:
    """How the service stood when it last said so; None when it never did. Raises LocalError for another file."""
    values = _read(folder / STATE)
    if values is None:
        return None
    try:
        studies = tuple(StudyState(**study) for study in values["studies"])
        state = SiteState(**{**values, "studies": studies})
        if not (_typed(state) and all(map(_typed, studies))):
            raise TypeError
    except (TypeError, KeyError):
        raise _unreadable(folder / STATE) from None
    return state


def write_state(folder: Path, state: SiteState) -> None:
    """Replace the service's answer. Raises OSError; not on disk for good, it is made anew at every start."""
    _write(folder / STATE, asdict(state), durable=False)


def check_folder(folder: Path) -> None:
    """Raises LocalError when the folder is no participant's."""
    if not (folder / "site.db").exists():
        raise LocalError(
            f"{folder} is no data folder of a participant",
            hint="name its settings with --config; the service makes the folder when it first runs",
        )


@contextmanager
def changing(folder: Path) -> Iterator[list[Wish]]:
    """The wish in a list of one; what stands there at the end becomes the new one, on disk. One command at a time.

    Raises LocalError when the folder is no participant's, or cannot be written.
    """
    check_folder(folder)
    try:
        with (folder / f"{WISH}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = [read_wish(folder)]
            before = held[0]
            yield held
            if held[0] != before:
                _write(folder / WISH, asdict(held[0]), durable=True)
    except OSError as error:
        hint = to_do(error, "run this as the user that runs the participant")
        raise LocalError(f"the order cannot be written: {said(error, folder)}", hint=hint) from None


def is_running(folder: Path) -> bool:
    """Whether a service holds the data folder (see runtime.lock)."""
    try:
        with (folder / "lock").open("r") as file:
            os.kill(int(file.read() or "0") or os.getpid(), 0)  # a service that just starts is never got in the way of
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return False


def _typed(values: Wish | SiteState | StudyState) -> bool:
    """Whether every field holds what its name promises."""
    return all(type(getattr(values, one.name)) is _TYPES[one.name] for one in fields(values))


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with open_plain(path) as file:
            values = json.loads(file.read(_SIZE_MAX))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"{path}: cannot be read ({error.strerror})", hint="check its owner") from None
    except ValueError:
        raise _unreadable(path) from None
    if not isinstance(values, dict):
        raise _unreadable(path)
    return values


def _unreadable(path: Path) -> LocalError:
    return LocalError(f"{path} is not what this software writes", hint="remove it; nothing is paused then")


def _write(path: Path, values: Mapping[str, Any], *, durable: bool) -> None:
    """Replace a file whole; a reader sees the old one or the new one."""
    part = path.with_name(path.name + ".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    part.replace(path)
    if durable:
        sync_folder(path.parent)
