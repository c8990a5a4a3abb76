"""Slows a client down where the broker asks for it: a quota makes things slow, and is neither a fault nor an absence.

Knows:    what an answer says of a quota: how long the next request of its kind should wait, at that one broker.
Never:    gives anything up for it. A client that goes on would be left without an answer until its time was over.
Source:   KIP-219: the broker answers at once (a fetch without any records), and the client waits.
"""

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient

from transport.staying.link import Link

WAIT_MAX_S = 300.0  # more than any quota asks for, with the sizes of requests here


def heed_quotas(client: AIOKafkaClient, link: Link) -> None:
    """From now on `client` waits as its brokers ask it to, and `link` hears of it."""
    send, until_s = client.send, dict[tuple[Any, str], float]()
    clock = asyncio.get_running_loop().time

    async def heeding(node: Any, request: Any, **options: Any) -> Any:
        kind = kind_of(request)
        if (left_s := until_s.get((node, kind), 0.0) - clock()) > 0:
            await asyncio.sleep(left_s)
        response = await send(node, request, **options)
        asked_s = getattr(response, "throttle_time_ms", 0) / 1000
        if asked_s > 0:
            wait_s = min(asked_s, WAIT_MAX_S)
            until_s[node, kind] = clock() + wait_s
            link.throttled(kind, wait_s)
        return response

    client.send = heeding


def kind_of(request: Any) -> str:
    """The kind of a request, as metrics and log lines name it: `fetch`, `produce`, `end_txn`."""
    name = type(request).__name__.removesuffix("Request")
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).removeprefix("_")
