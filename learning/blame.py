"""Where in a task's own code something went wrong: its author's file and line, not the framework's.

Never:    shows an exception's text, which may hold a patient's value, unless no patient was there.
Imports:  stdlib, schemas.errors.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import FederationError, LocalError

TEXT_MAX = 200


def place_of_error(error: BaseException, folder: Path) -> str:
    """`task.py, line 12, in load`: the innermost frame in a file below `folder`; elsewhere the innermost of all.

    An error that another one was raised from counts as the same.
    """
    frames = [frame for one in _chain(error) for frame in traceback.extract_tb(one.__traceback__)]
    if not frames:
        return "the task"
    resolved = folder.resolve()
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(resolved)]
    frame = (own or frames)[-1]
    file = Path(frame.filename).resolve()
    name = file.relative_to(resolved).as_posix() if own else "/".join(file.parts[-2:])  # learning/task.py is not theirs
    return f"{name}, line {frame.lineno}, in {frame.name.strip('<>')}"


def place_of_method(owner: object, name: str, folder: Path) -> str:
    """`task.py, line 12, in loss`: where an object's method is written; empty outside `folder`."""
    function = getattr(type(owner), name, None)
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    file = Path(inspect.getfile(code)).resolve()
    if not file.is_relative_to(folder.resolve()):
        return ""
    return f"{file.relative_to(folder.resolve()).as_posix()}, line {code.co_firstlineno}, in {name}"


def in_words(error: BaseException) -> str:
    """Kind and first line of an error's text, for the author alone: no patient may have been there."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:TEXT_MAX]}" if text else type(error).__name__


def in_short(error: BaseException) -> str:
    """Kind of an error, and what the system says of a file: nothing that a patient may be in, as a file's name may."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}: {os.strerror(error.errno)}"
    return type(error).__name__


def folder_of(task: object) -> Path:
    """The folder of the file in which a task's class says how patients are loaded."""
    return Path(inspect.getfile(type(task).load)).parent  # type: ignore[attr-defined]  # every task has it


@contextmanager
def authors_code(what: str, folder: Path, *, patients: bool = False) -> Iterator[None]:
    """Around code of a task: whatever it raises becomes one line with its file and line.

    patients   whether it sees any: then the error's own text is not shown
    """
    try:
        yield
    except FederationError:
        raise
    except Exception as error:
        said = in_short(error) if patients else in_words(error)
        raise LocalError(
            f"{what} fails: {said} ({place_of_error(error, folder)})",
            hint="the mistake is in the task's own code there; `wardround task test` tries the rest of it",
        ) from error


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the outermost first."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__
    return chain
