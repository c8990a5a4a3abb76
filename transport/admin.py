"""Creates and checks topics, trims them, and bounds every wait of a command that a person started."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import LocalError
from transport import inside
from transport.clients import end, new_admin, refused, started
from transport.errors import TopicMissing
from transport.settings import KafkaSettings
from transport.staying.absent import forbidden
from transport.staying.link import Link
from transport.staying.patience import patient
from transport.writing.replication import INSYNC, REPLICAS, REPLICATION, Cluster, insync_of, lacking, replication_of

T = TypeVar("T")

_ANNOUNCED_S, _ANNOUNCED_TRIES = 0.05, 100
_ANSWER_S = 2.0  # what a living broker takes for a small question
_UNSETTLED = (
    AttributeError,
    AssertionError,
)  # aiokafka trips over a cluster that has no controller or no broker just now
BROKERS_OWN = ("__consumer_offsets", "__transaction_state")  # Kafka makes them itself, as its settings say
_TOPICS_OWN = 1  # DescribeConfigs, version 1 and later: where a setting comes from
COMMAND_S = 10.0  # how long a command waits for the broker before it gives up


async def within(awaitable: Awaitable[T], seconds: float, link: Link) -> T:
    """Await at most `seconds`. Raises TransientError saying why the broker of `link` was not reached in time."""
    async with patient(link, seconds):
        return await awaitable


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; `config` in Kafka's own words, for example {"cleanup.policy": "compact"}."""

    name: str
    partitions: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """A topic that existed already and is not as specified; `actual` None: the broker names no such setting.

    `setting` in Kafka's words, or "partitions", or "replication": how many brokers have the topic.
    """

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

    async def create_topics(
        self, specs: Iterable[TopicSpec], *, replication: int | None = None
    ) -> list[TopicDifference]:
        """Create what is missing; existing topics are left as they are and what differs is returned.

        replication   replicas of each topic; None: three, or as many as the cluster has brokers
        Raises LocalError when there are fewer brokers than that, or the broker refuses a topic, with its reason.
        """
        wanted = list(specs)
        cluster = await self._cluster()
        replicas = replication_of(cluster.brokers, replication)
        missing = [spec for spec in wanted if spec.name not in cluster.replicas]
        if missing:
            insync = {INSYNC: str(insync_of(replicas))}
            topics = [NewTopic(s.name, s.partitions, replicas, topic_configs={**insync, **s.config}) for s in missing]
            response = await self._call(lambda client: client.create_topics(topics))
            for name, code, *detail in response.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise _refusal(f"topic {name} cannot be created", code, detail)
            await self._announced({spec.name for spec in missing})
        return await self._differences([spec for spec in wanted if spec.name in cluster.replicas], cluster, replicas)

    async def differences(
        self, specs: Iterable[TopicSpec], *, replication: int | None = None
    ) -> tuple[list[str], list[TopicDifference]]:
        """Which of the topics are missing, and how the others differ; as `create_topics`, and nothing is created."""
        wanted = list(specs)
        cluster = await self._cluster()
        there = [spec for spec in wanted if spec.name in cluster.replicas]
        missing = [spec.name for spec in wanted if spec.name not in cluster.replicas]
        replicas = replication_of(cluster.brokers, replication)
        return missing, await self._differences(there, cluster, replicas)

    async def broker_settings(self) -> dict[int, dict[str, str | None]]:
        """The settings of each broker by its node id, in Kafka's words; None for what a broker keeps to itself.

        Raises LocalError where this client may not see them.
        """
        nodes = [
            broker["node_id"] for broker in (await self._call(lambda client: client.describe_cluster()))["brokers"]
        ]
        resources = [ConfigResource(ConfigResourceType.BROKER, str(node)) for node in nodes]
        found: dict[int, dict[str, str | None]] = {}
        for response in await self._call(lambda client: client.describe_configs(resources)):
            for code, message, _, name, entries in response.resources:
                if code:
                    raise _refusal(f"the settings of broker {name} are not shown", code, [message])
                found[int(name)] = {entry[0]: entry[1] for entry in entries}
        return found

    async def thin_topics(self, prefix: str, *, replication: int | None = None) -> list[TopicDifference]:
        """Existing topics on fewer brokers than `create_topics` would put them on, or acknowledged by fewer.

        Topics whose names begin with `prefix`, and the broker's own, without which nobody can write.
        Raises LocalError when the cluster has fewer brokers than `replication`.
        """
        cluster = await self._cluster()
        wanted = replication_of(cluster.brokers, replication)
        if wanted == 1:
            return []
        names = sorted(name for name in cluster.replicas if name.startswith(prefix))
        configs = await self._configs(names, [INSYNC]) if names else {}
        found = [one for name in names for one in _lack(name, cluster, configs[name].get(INSYNC), wanted)]
        own = ((name, cluster.replicas[name]) for name in BROKERS_OWN if name in cluster.replicas)
        least = min(wanted, REPLICAS)
        return found + [TopicDifference(name, REPLICATION, str(least), str(n)) for name, n in own if n < least]

    async def _announced(self, names: set[str]) -> None:
        """Wait until all brokers tell of new topics: the controller that made them answers a moment earlier."""
        for _ in range(_ANNOUNCED_TRIES):
            if await self._call(lambda client: _all_tell(client, names)):
                return
            await asyncio.sleep(_ANNOUNCED_S)

    async def existing(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are topics now."""
        return set(names) & set(await self._call(lambda client: client.list_topics()))

    async def forbidden(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that this client has no right to see, whether such topics are there or not."""
        wanted = list(names)
        closed: frozenset[str] = await self._call(lambda client: forbidden(inside.connections(client), wanted))
        return closed

    async def describe(self, topic: str) -> dict[str, str]:
        """All settings of a topic, in Kafka's words."""
        return (await self._configs([topic]))[topic]

    async def change(self, topic: str, settings: Mapping[str, str]) -> None:
        """Give a topic other settings, in Kafka's words; those of its own that are not named stay.

        Raises LocalError when the broker refuses.
        """
        own = await self._own_settings(topic)
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {**own, **settings})
        for response in await self._call(lambda client: client.alter_configs([resource])):
            for code, *detail in response.resources:
                if code:
                    raise _refusal(f"topic {topic} cannot be changed", code, detail[:1])

    async def _own_settings(self, topic: str) -> dict[str, str]:
        """What was set for this topic alone: a change replaces all of it."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        responses = await self._call(lambda client: client.describe_configs([resource]))
        entries = [entry for response in responses for one in response.resources for entry in one[4]]
        return {name: value for name, value, _, source, *_ in entries if source == _TOPICS_OWN}

    async def trim(self, topic: str, before_offset: int) -> None:
        """Delete everything before an offset of partition 0; what is gone already is no error.

        Raises TopicMissing, and LocalError when the broker refuses.
        """
        if not await self.existing([topic]):
            closed = await self.forbidden([topic])  # aiokafka would ask for its leader for ever
            raise TopicMissing([topic], self._settings.bootstrap, wanted="trim", forbidden=closed)
        records = {TopicPartition(topic, 0): RecordsToDelete(before_offset=before_offset)}
        try:
            await self._call(lambda client: client.delete_records(records))
        except LocalError:
            raise
        except KafkaError as error:
            raise LocalError(f"{topic} cannot be trimmed before offset {before_offset}: {error!r}") from error

    async def controller(self, request: Any) -> Any:
        """What the cluster's controller answers to a request of our own."""
        return await self._call(lambda client: inside.to_controller(client, request))

    async def close(self) -> None:
        """End the client; bounded."""
        client, self._client = self._client, None
        if client is not None:
            await end(client)

    async def _cluster(self) -> Cluster:
        topics = await self._call(lambda client: client.describe_topics())
        brokers = (await self._call(lambda client: client.describe_cluster()))["brokers"]
        return Cluster.of((broker["node_id"] for broker in brokers), topics)

    async def _differences(self, specs: list[TopicSpec], cluster: Cluster, replicas: int) -> list[TopicDifference]:
        if not specs:
            return []
        configs = await self._configs([spec.name for spec in specs])
        differences = []
        for spec in specs:
            actual: dict[str, str] = {**configs[spec.name], "partitions": str(cluster.partitions[spec.name])}
            for setting, value in {**spec.config, "partitions": str(spec.partitions)}.items():
                if actual.get(setting) != value:
                    differences.append(TopicDifference(spec.name, setting, value, actual.get(setting)))
            differences += _lack(spec.name, cluster, actual.get(INSYNC), replicas)
        return differences

    async def _configs(self, names: list[str], settings: Iterable[str] = ()) -> dict[str, dict[str, str]]:
        """All settings of the topics, or those named."""
        only = dict.fromkeys(settings, "") or None
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, only) for name in names]
        responses = await self._call(lambda client: client.describe_configs(resources))
        configs: dict[str, dict[str, str]] = {}
        for response in responses:
            for code, message, _, name, entries in response.resources:
                if code:
                    raise _refusal(f"topic {name} cannot be described", code, [message])
                configs[name] = {entry[0]: entry[1] for entry in entries}
        if untold := sorted(set(names) - configs.keys()):
            raise LocalError(
                f"the broker does not describe {', '.join(untold)}", hint="try it again; see the broker's log"
            )
        return configs

    async def _call(self, call: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
        """One request, repeated with a fresh client while the broker is away; others may be under way meanwhile."""
        while True:
            client = await self._live_client()
            try:
                return await call(client)
            except (KafkaError, OSError, TimeoutError, *_UNSETTLED) as error:
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


async def _all_tell(client: AIOKafkaAdminClient, names: set[str]) -> bool:
    """Whether each broker that answers knows the topics; the next question goes to any of them."""
    known = await asyncio.gather(*(_topics_of(client, node) for node in inside.nodes_of(client)))
    told = [topics for topics in known if topics is not None]
    return bool(told) and all(names <= topics for topics in told)


async def _topics_of(client: AIOKafkaAdminClient, node: int) -> set[str] | None:
    """What one broker knows; None when it does not answer: a dead one stays in the list until its session ends."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await inside.topics_at(client, node)
    except (KafkaError, OSError, TimeoutError):
        return None


def _lack(topic: str, cluster: Cluster, insync: str | None, wanted: int) -> list[TopicDifference]:
    lacks = lacking(cluster.replicas[topic], insync, wanted)
    return [TopicDifference(topic, setting, value, actual) for setting, (value, actual) in lacks.items()]


def _refusal(what: str, code: int, detail: list[object]) -> LocalError:
    reason = next((str(part) for part in detail if part), for_code(code).__name__)
    return LocalError(f"{what}: {reason}", hint="check the broker's settings and this member's rights")
