"""Where in a task's own code something went wrong: its author's file and line, not the framework's.

Never:    shows an exception's text: it may hold a patient's value.
Imports:  stdlib.   Used by: participant.training.worker, wardround.
"""

from __future__ import annotations

import traceback
from pathlib import Path


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
    name = Path(frame.filename).resolve().relative_to(resolved).as_posix() if own else Path(frame.filename).name
    return f"{name}, line {frame.lineno}, in {frame.name.strip('<>')}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the outermost first."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__
    return chain
