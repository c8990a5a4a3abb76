"""How long a service's event loop was held: by what ran in it, a collection of garbage, or a machine that is busy."""

import asyncio
import time
from collections.abc import Callable

LOOK_S = 0.02


async def watch_loop(tell: Callable[[float], None]) -> None:
    """For ever: tell, about fifty times a second, by how many seconds this task woke too late."""
    while True:
        began_s = time.monotonic()
        await asyncio.sleep(LOOK_S)
        tell(max(0.0, time.monotonic() - began_s - LOOK_S))
