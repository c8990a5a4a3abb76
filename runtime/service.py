"""Runs one service: signals end it cleanly within a bound, errors become exit codes and one clear line."""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.stderr import STDERR
from schemas.errors import EXIT_AWAY, EXIT_LOCAL, FederationError, LocalError, TransientError
from schemas.text import visible

STOP_S = 10.0
KEPT_BYTES = 32 * 1024 * 1024
TRIM_S = 30.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def run_service(
    main: Coroutine[Any, Any, None], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> int:
    """Run `main` until it ends or SIGTERM or SIGINT comes; returns the exit code (0, 1 failed, 2 setup, 3 away)."""
    keep_freed_memory()
    gc.freeze()  # what was imported stays: a collection need not look at it
    bound = threading.Timer(STOP_S, _give_up)
    bound.daemon = True
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_until_signal(main, bound))
    except FederationError as error:
        return report(error)
    except BaseExceptionGroup as group:
        first = first_error(group)
        if isinstance(first, FederationError):
            return report(first)
        raise
    finally:
        gc.unfreeze()
        bound.cancel()


def keep_freed_memory() -> None:
    """Let the C library reuse buffers of up to 32 MiB instead of giving each back to the kernel.

    A chunk of 512 KiB is copied several times on its way to the broker; with fresh pages for every copy, uploading took
    twice the CPU. All threads share one arena: with one each, what a worker thread frees is kept for that thread alone,
    and a process grows for hours. Where the C library knows no mallopt, nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)
        library.mallopt(M_ARENA_MAX, 1)


async def give_memory_back() -> None:
    """Twice a minute, for ever: cycles are collected, and free pages between the buffers that are kept go back.

    Without it a service that moves large bodies grows for hours: by what each broken connection leaves in cycles, its
    buffers with it, since Python's oldest generation is collected after ten thousands of objects, not of megabytes;
    and by fragments that nothing fits into.
    """
    while True:
        await asyncio.sleep(TRIM_S)
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def first_error(group: BaseExceptionGroup) -> BaseException:
    """What ended a group of tasks: an error with a name before any other, the first of its kind."""
    flat: list[BaseException] = []
    todo: list[BaseException] = [group]
    while todo:
        error = todo.pop(0)
        if isinstance(error, BaseExceptionGroup):
            todo.extend(error.exceptions)
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, FederationError)), flat[0])


def report(error: FederationError) -> int:
    """Print what is wrong and what to do; returns the exit code that goes with it."""
    STDERR.write(f"error: {visible(str(error))}\n")  # a service's last word, before or without logging
    hint = error.hint if isinstance(error, LocalError) else ""
    if hint:
        STDERR.write(f"hint:  {visible(hint)}\n")
    if isinstance(error, LocalError):
        return EXIT_LOCAL
    return EXIT_AWAY if isinstance(error, TransientError) else 1


def _give_up() -> None:
    """Ends a process that did not heed its signal; a log rebuilds what it was doing, as after a SIGKILL."""
    STDERR.write(f"error: not stopped within {STOP_S:g} s, ended\n")
    os._exit(1)


async def _until_signal(main: Coroutine[Any, Any, None], bound: threading.Timer) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main, name="service")
    trimming = loop.create_task(give_memory_back(), name="memory")
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            bound.start()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        trimming.cancel()
    return 0
