"""Tells a topic that does not exist from one that a broker has not heard of yet, and from one that is not allowed.

Knows:    a topic just made is announced a moment later, and a broker just started learns of its topics a moment later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Set

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

ASKED_AGAIN_S = (0.1, 0.4, 1.0, 2.0, 3.0)


async def absent(names: Set[str], known: Callable[[], Awaitable[Set[str]]]) -> list[str]:
    """Those of the topics that are not `known` even after 6.5 s, sorted."""
    for wait_s in ASKED_AGAIN_S:
        if names <= await known():
            return []
        await asyncio.sleep(wait_s)
    return sorted(names - await known())


async def forbidden(client: AIOKafkaClient, names: Iterable[str]) -> frozenset[str]:
    """Those of the topics that this client has no right to see, whether they are there or not.

    A list of all topics leaves them out; asked by name the broker says so. Where it does not answer now, none.
    """
    wanted, node = sorted(names), client.get_random_node()
    if not wanted or node is None:
        return frozenset()
    try:
        response = await client.send(node, MetadataRequest(wanted, allow_auto_topic_creation=False))
    except (KafkaError, OSError, TimeoutError):
        return frozenset()
    return frozenset(topic for code, topic, *_ in response.topics if code == TopicAuthorizationFailedError.errno)
