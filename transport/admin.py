"""Creates and checks topics, trims them, and bounds every wait of a command that a person started.

Used by:  wardround (registrar, study create, kafka), coordinator.shell (trimming), tests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import LocalError, TransientError
from transport.clients import end, new_admin, refused, started
from transport.errors import TopicMissing
from transport.link import Link
from transport.settings import KafkaSettings

T = TypeVar("T")

_ANNOUNCED_S, _ANNOUNCED_TRIES = 0.05, 100
COMMAND_S = 10.0  # how long a command waits for the broker before it gives up


async def within(awaitable: Awaitable[T], seconds: float, what: str) -> T:
    """Await at most `seconds`. Raises TransientError saying that `what` was not reached in time."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError as error:
        raise TransientError(
            f"{what} not reached in {seconds:g} s; is it running, and is its address right?"
        ) from error


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; `config` in Kafka's own words, for example {"cleanup.policy": "compact"}."""

    name: str
    partitions: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """A topic that existed already and is not as specified; `actual` None: the broker names no such setting."""

    topic: str
    setting: str
    wanted: str
    actual: str | None


class Admin:
    """Administration of topics. Each call waits for the broker for ever: wrap it in `within` where a person waits."""

    def __init__(self, settings: KafkaSettings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._client: AIOKafkaAdminClient | None = None
        self._starting = asyncio.Lock()

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[TopicDifference]:
        """Create what is missing; existing topics are left as they are and what differs is returned.

        Raises LocalError when the broker refuses a topic, with its reason.
        """
        wanted = list(specs)
        existing = await self.existing(spec.name for spec in wanted)
        missing = [spec for spec in wanted if spec.name not in existing]
        if missing:
            topics = [NewTopic(s.name, s.partitions, 1, topic_configs=dict(s.config)) for s in missing]
            response = await self._call(lambda client: client.create_topics(topics))
            for name, code, *detail in response.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise _refusal(f"topic {name} cannot be created", code, detail)
            await self._announced({spec.name for spec in missing})
        return await self._differences([spec for spec in wanted if spec.name in existing])

    async def _announced(self, names: set[str]) -> None:
        """Wait until the broker tells of new topics: the controller that made them answers a moment earlier."""
        for _ in range(_ANNOUNCED_TRIES):
            if await self.existing(names) == names:
                return
            await asyncio.sleep(_ANNOUNCED_S)

    async def existing(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are topics now."""
        return set(names) & set(await self._call(lambda client: client.list_topics()))

    async def describe(self, topic: str) -> dict[str, str]:
        """All settings of a topic, in Kafka's words."""
        return (await self._configs([topic]))[topic]

    async def trim(self, topic: str, before_offset: int) -> None:
        """Delete everything before an offset of partition 0; what is gone already is no error.

        Raises TopicMissing, and LocalError when the broker refuses.
        """
        if not await self.existing([topic]):
            raise TopicMissing([topic], self._settings.bootstrap)  # aiokafka would ask for its leader for ever
        records = {TopicPartition(topic, 0): RecordsToDelete(before_offset=before_offset)}
        try:
            await self._call(lambda client: client.delete_records(records))
        except LocalError:
            raise
        except KafkaError as error:
            raise LocalError(f"{topic} cannot be trimmed before offset {before_offset}: {error!r}") from error

    async def close(self) -> None:
        """End the client; bounded."""
        client, self._client = self._client, None
        if client is not None:
            await end(client)

    async def _differences(self, specs: list[TopicSpec]) -> list[TopicDifference]:
        if not specs:
            return []
        names = [spec.name for spec in specs]
        configs = await self._configs(names)
        described = await self._call(lambda client: client.describe_topics(names))
        partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
        differences = []
        for spec in specs:
            actual: dict[str, str] = {**configs[spec.name], "partitions": str(partitions[spec.name])}
            for setting, value in {**spec.config, "partitions": str(spec.partitions)}.items():
                if actual.get(setting) != value:
                    differences.append(TopicDifference(spec.name, setting, value, actual.get(setting)))
        return differences

    async def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        responses = await self._call(lambda client: client.describe_configs(resources))
        configs: dict[str, dict[str, str]] = {}
        for response in responses:
            for code, message, _, name, entries in response.resources:
                if code:
                    raise _refusal(f"topic {name} cannot be described", code, [message])
                configs[name] = {entry[0]: entry[1] for entry in entries}
        return configs

    async def _call(self, call: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
        """One request, repeated with a fresh client while the broker is away; others may be under way meanwhile."""
        while True:
            client = await self._live_client()
            try:
                return await call(client)
            except (KafkaError, OSError, TimeoutError) as error:
                final = refused(error)
                if final is not None:
                    raise final from error
                if isinstance(error, KafkaError) and not error.retriable:
                    raise
                if client is self._client:
                    self._link.down(error)
                    await self.close()
                await self._link.backoff()

    async def _live_client(self) -> AIOKafkaAdminClient:
        async with self._starting:
            if self._client is None:
                self._client = await started(lambda: new_admin(self._settings), self._link)
            return self._client


def _refusal(what: str, code: int, detail: list[object]) -> LocalError:
    reason = next((str(part) for part in detail if part), for_code(code).__name__)
    return LocalError(f"{what}: {reason}", hint="check the broker's settings and this member's rights")
