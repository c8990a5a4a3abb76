"""Tells a topic that does not exist from one that a broker has not heard of yet.

Knows:    a topic just made is announced a moment later, and a broker just started learns of its topics a moment later.
Used by:  the other modules of transport that read and write.
"""

import asyncio
from collections.abc import Awaitable, Callable, Set

ASKED_AGAIN_S = (0.1, 0.4, 1.0, 2.0, 3.0)


async def absent(names: Set[str], known: Callable[[], Awaitable[Set[str]]]) -> list[str]:
    """Those of the topics that are not `known` even after 6.5 s, sorted."""
    for wait_s in ASKED_AGAIN_S:
        if names <= await known():
            return []
        await asyncio.sleep(wait_s)
    return sorted(names - await known())
