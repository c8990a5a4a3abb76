"""An event loop on virtual time: a sleep costs nothing, work of threads is done at once, two runs are the same.

Knows:    when nothing is left to do, the clock jumps to the next timer; with none left the history hangs, and says so.
Never:    sleeps, waits for a socket or starts a thread.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class Hangs(Exception):  # noqa: N818 - named for what happened
    """Everybody waits for somebody else: no timer is set, and nothing can happen any more."""


class _Jumping(selectors.SelectSelector):
    """Tells the loop how long it would have waited instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Hangs("nothing is left to happen")
            self.waited_s += max(0.0, timeout)
        return ready


class _AtOnce(Executor):
    """Does the work where it is handed over."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; its time is what it has slept."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the history began."""
        return self._jumping.waited_s

    def run_in_executor(  # type: ignore[override]  # whatever executor is asked for
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        return asyncio.wrap_future(_AtOnce().submit(func, *args), loop=self)


def run(history: Coroutine[Any, Any, T]) -> T:
    """Live through `history` on virtual time. Raises Hangs, and what the history raises."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(history)
