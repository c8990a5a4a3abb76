"""What a client may do at a cluster, and whom the cluster consists of, asked without writing anything.

Knows:    brokers tell everybody what they may do themselves: no right is needed to ask.
Never:    writes a record, makes a topic, joins a group, begins a transaction.
Source:   https://cwiki.apache.org/confluence/display/KAFKA/KIP-430 (authorized operations).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.coordination import FindCoordinatorRequest

from schemas.errors import TransientError
from transport import inside
from transport.clients import end, new_client, started
from transport.requests import GroupWithRights, MetadataWithRights
from transport.settings import KafkaSettings
from transport.staying.link import Link

_GROUP, _TRANSACTION = 0, 1
_AGAIN_S, _TRIES = 0.3, 30
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """One topic as this client sees it. `operations` is a bit field over Kafka's numbers of operations."""

    operations: int
    missing: bool = False
    forbidden: bool = False
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """Brokers by node id with the address that they send clients to; `operations` as of a topic."""

    brokers: Mapping[int, str]
    operations: int
    topics: Mapping[str, TopicSeen]


def may(operations: int, operation: int) -> bool:
    """Whether a bit field holds an operation; what a broker did not fill in holds none."""
    return bool(operations >> operation & 1)


class Looking:
    """One connection. `open` waits for the broker for ever: wrap it in `within`. The others raise TransientError."""

    def __init__(self, settings: KafkaSettings, link: Link) -> None:
        self._settings, self._link = settings, link
        self._client: AIOKafkaClient | None = None

    async def open(self) -> None:
        self._client = await started(lambda: new_client(self._settings), self._link)

    async def close(self) -> None:
        """Bounded."""
        client, self._client = self._client, None
        if client is not None:
            await end(client)

    async def cluster(self, topics: Iterable[str]) -> ClusterSeen:
        """The brokers, and these topics, whether they are there or not."""
        answer = await self._ask(MetadataWithRights(topics))
        return ClusterSeen(
            {node: f"{host}:{port}" for node, host, port, _ in answer.brokers},
            answer.cluster_operations,
            {topic: _seen(code, partitions, bits) for code, topic, _, partitions, bits in answer.topics},
        )

    async def group(self, name: str) -> int:
        """What this client may do in a group of consumers, as a bit field."""
        return await _patiently(lambda: self._group(name))

    async def may_begin(self, transactional_id: str) -> bool:
        """Whether this client may at least know of a transactional id; who may write with it may know of it."""
        return await _patiently(lambda: self._may_begin(transactional_id))

    async def _group(self, name: str) -> int:
        found = await self._ask(FindCoordinatorRequest(name, _GROUP))
        if found.error_code == errors.GroupAuthorizationFailedError.errno:
            return 0
        _check(found.error_code)
        answer = await self._ask(GroupWithRights(name), found.coordinator_id)
        code, *_, operations = answer.groups[0]
        if code == errors.GroupAuthorizationFailedError.errno:
            return 0
        _check(code)
        return int(operations)

    async def _may_begin(self, transactional_id: str) -> bool:
        found = await self._ask(FindCoordinatorRequest(transactional_id, _TRANSACTION))
        if found.error_code == errors.TransactionalIdAuthorizationFailed.errno:
            return False
        _check(found.error_code)
        return True

    async def _ask(self, request: object, node: int | None = None) -> Any:
        if self._client is None:
            raise TransientError("the broker is not reached")
        try:
            return await inside.to_any(self._client, request, node)
        except (errors.KafkaError, OSError, TimeoutError) as error:
            raise TransientError(f"{self._settings.bootstrap} does not answer: {error!r}") from None


def _seen(code: int, partitions: list[tuple[object, ...]], operations: int) -> TopicSeen:
    held = [len(replicas) for *_, replicas, _, _ in partitions]  # type: ignore[arg-type]  # aiokafka tells no types
    return TopicSeen(
        operations,
        missing=code == errors.UnknownTopicOrPartitionError.errno,
        forbidden=code == errors.TopicAuthorizationFailedError.errno,
        replicas=min(held, default=0),
    )


def _check(code: int) -> None:
    if code:
        raise TransientError(f"the broker does not say it: {errors.for_code(code).__name__}")


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again for some seconds: a cluster that is new makes its own topics at the first such question."""
    for _ in range(_TRIES):
        try:
            return await ask()
        except TransientError:
            await asyncio.sleep(_AGAIN_S)
    return await ask()
