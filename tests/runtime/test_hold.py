"""A loop that is held says how long."""

import asyncio
import contextlib
import time

from runtime.hold import LOOK_S, watch_loop


async def test_what_holds_the_loop_is_told_and_a_loop_that_waits_is_not_held() -> None:
    told: list[float] = []
    task = asyncio.create_task(watch_loop(told.append))
    await asyncio.sleep(2 * LOOK_S)
    time.sleep(0.3)  # noqa: ASYNC251  # that is the point
    await asyncio.sleep(2 * LOOK_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert max(told) > 0.2
    assert len(told) >= 2
    assert min(told) >= 0.0
