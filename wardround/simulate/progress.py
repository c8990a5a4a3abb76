"""What a person sees while plans are played: one bar a plan, on the terminal alone."""

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Bars on standard error while it is a terminal; nothing elsewhere."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._width = max((len(label) for label in labels), default=0)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bars.stop()

    def of(self, label: str, versions: int) -> Callable[[int], None]:
        """What to call with each version of one plan."""
        task = self._bars.add_task(label.ljust(self._width), total=versions)
        return lambda version: self._bars.update(task, completed=version)
